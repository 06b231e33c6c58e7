"""The tokens of a server, which engines would otherwise store in the description of a job, container or pod."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

HUB_TOKEN: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable
ROLE_TOKEN: Final = "AIZEN_TOKEN"  # noqa: S105 - the name of a variable
VARIABLES: Final = (HUB_TOKEN, "JPY_API_TOKEN", ROLE_TOKEN)
"""The second is an old name of the first. A kernel obtains a role token in exchange for the hub token."""


def remove_tokens(environment: MutableMapping[str, str]) -> None:
    """Remove every token from the environment of a server, which gets the hub token in a file."""
    for name in VARIABLES:
        environment.pop(name, None)
