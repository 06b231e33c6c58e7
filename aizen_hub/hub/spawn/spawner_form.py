"""The spawner's own form, such as the profiles of KubeSpawner: shown below the projects, on the same page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyterhub.utils import maybe_future

_FORM, _READER = "options_form", "options_from_form"


async def render_spawner_form(spawner: Any) -> str:
    """Return the HTML of the form that the spawner's class has by default, empty where it has none.

    ``configure`` sets the form with the projects as ``options_form``, which would hide this one.
    """
    form = spawner.trait_defaults(_FORM)
    if callable(form):
        form = await maybe_future(form(spawner))
    return str(form or "")


def read_spawner_form(spawner: Any, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the spawner's class reads from its own fields of the page."""
    return dict(spawner.trait_defaults(_READER)(dict(form)))
