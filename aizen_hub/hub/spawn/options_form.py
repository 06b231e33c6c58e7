"""The start page: which project is this server for? A help for people; what counts is checked at the start itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jupyterhub.spawner import SpawnException

from aizen_hub.client.responses import ProjectChoice
from aizen_hub.hub.spawn.server_session import chosen_project
from aizen_hub.problems import Problem

log = logging.getLogger("aizen_hub.spawn")

SEARCH_FROM = 8
_pages = Environment(loader=PackageLoader("aizen_hub.hub"), autoescape=True, undefined=StrictUndefined)


async def options_form(spawner: Any) -> str:
    """Return the HTML of the project picker; the value of ``c.Spawner.options_form``.

    With nothing to choose it says whom to ask, and with no answer from the service it says that; neither holds a field,
    so that a start from there is refused with the same words.
    """
    authenticator, user = spawner.authenticator, spawner.user.name
    try:
        found = await authenticator.road.choices(user)
    except Problem as error:
        log.error("choices of `%s`: %s", user, error.detail)
        return _pages.get_template("picker-silent.html").render(remedy=error.remedy)
    last = _last(spawner)
    projects = sorted(found.projects, key=lambda one: (one.name != last, one.name))
    return _pages.get_template("picker.html").render(
        projects=[_card(one) for one in projects],
        system_session=found.system_session,
        notice=found.notice,
        chosen=_preselect([one.name for one in projects], found.system_session, last),
        search=len(projects) > SEARCH_FROM,
        user=user,
    )


def options_from_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the one field of ours, as text; other fields belong to the operator's own form and stay as they are."""
    out = dict(form)
    value = out.get("project")
    if isinstance(value, list) and len(value) == 1:
        out["project"] = value[0]
    return out


def apply_user_options(spawner: Any, options: Any) -> None:
    """Do nothing: what is chosen takes effect where the session is opened. Without this the hub warns at each start."""


def _last(spawner: Any) -> str | None:
    """The project of the last start; what is stored came from anywhere and is only compared with the list."""
    stored = spawner.orm_spawner.user_options if spawner.orm_spawner is not None else None
    if not isinstance(stored, Mapping) or "project" not in stored:
        return None
    try:
        return chosen_project(stored) or ""
    except SpawnException:
        return None


def _preselect(names: list[str], system_session: bool, last: str | None) -> str | None:
    if last in names or (last == "" and system_session):
        return last
    if names:
        return names[0]
    return "" if system_session else None


def _card(project: ProjectChoice) -> dict[str, Any]:
    return {
        "name": project.name,
        "description": project.description or "",
        "roles": project.roles,
        "limits": [text for kind, value in sorted(project.limits.items()) if (text := _limit(kind, value))],
    }


def _limit(kind: str, value: Any) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if kind == "memory":
        return f"{value / 2**30:.3g} GiB memory"
    return f"{value:g} {kind}"
