"""The namespace of Kubernetes in which the servers of a project run."""

from __future__ import annotations

import re
from typing import Final

from kubespawner.slugs import safe_slug

PLACEHOLDER: Final = "{project}"
_TEMPLATE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?-\{project\}")
_MAX_LENGTH = 63


def check_template(template: str) -> None:
    """Check what names the namespaces.

    Raises
    ------
    ValueError
        It is not a beginning of its own and the project. The namespace of the hub, or one of Kubernetes, could be the
        name of a project otherwise, and users who create projects would choose where pods run.
    """
    if not _TEMPLATE.fullmatch(template) or len(template) > _MAX_LENGTH - 20:
        raise ValueError(
            f"`{template}` must be letters, digits and hyphens before `-{PLACEHOLDER}`, such as `aizen-{PLACEHOLDER}`"
        )


def namespace_of(template: str, project: str) -> str:
    """Return the namespace of a project: its name where that is a label of DNS, else a part of it with a checksum.

    Two projects never have the same one.
    """
    length = _MAX_LENGTH - len(template) + len(PLACEHOLDER)
    return template.replace(PLACEHOLDER, safe_slug(project, max_length=length))
