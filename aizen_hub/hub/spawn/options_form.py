"""Options form of the spawn page: the project of a server. The choice is checked again at the start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jupyterhub.spawner import SpawnException

from aizen_hub.api_models.sessions import SpawnProject
from aizen_hub.hub.spawn.server_session import selected_project
from aizen_hub.problems import Problem

log = logging.getLogger("aizen_hub.spawn")

HINT_FROM = 8
_templates = Environment(loader=PackageLoader("aizen_hub.hub"), autoescape=True, undefined=StrictUndefined)


async def options_form(spawner: Any) -> str:
    """Return the HTML of the options form; the value of ``c.Spawner.options_form``.

    Without projects it says whom to ask; without a response of the service it says so. Neither has a form field, so a
    start from there is refused with the same text.
    """
    authenticator, user = spawner.authenticator, spawner.user.name
    try:
        options = await authenticator.service.get_spawn_options(user)
    except Problem as error:
        log.error("spawn options of `%s`: %s", user, error.detail)
        return _templates.get_template("options_form_unavailable.html").render()
    last = _last_project(spawner)
    projects = sorted(options.projects, key=lambda project: (project.name != last, project.name))
    return _templates.get_template("options_form.html").render(
        projects=[_to_card(project) for project in projects],
        system_session=options.system_session,
        notice=options.notice,
        chosen=_preselected([project.name for project in projects], options.system_session, last),
        show_hint=len(projects) > HINT_FROM,
        user=user,
    )


def options_from_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the field `project` to text.

    Other fields belong to the operator's own form; those that ``spawn.user_options`` lists reach the spawner.
    """
    options = dict(form)
    value = options.get("project")
    if isinstance(value, list) and len(value) == 1:
        options["project"] = value[0]
    return options


def apply_user_options(spawner: Any, options: Any) -> None:
    """Do nothing: the choice takes effect when the session is opened. Without this the hub logs a warning."""


def _last_project(spawner: Any) -> str | None:
    """Return the project of the last start; the stored value is untrusted and only compared with the list."""
    last_options = spawner.orm_spawner.user_options if spawner.orm_spawner is not None else None
    if not isinstance(last_options, Mapping) or "project" not in last_options:
        return None
    try:
        return selected_project(last_options) or ""
    except SpawnException:
        return None


def _preselected(names: list[str], system_session: bool, last: str | None) -> str | None:
    if last in names or (last == "" and system_session):
        return last
    if names:
        return names[0]
    return "" if system_session else None


def _to_card(project: SpawnProject) -> dict[str, Any]:
    return {
        "name": project.name,
        "description": project.description or "",
        "roles": project.roles,
        "limits": [text for name, value in sorted(project.limits.items()) if (text := _format_limit(name, value))],
    }


def _format_limit(name: str, value: Any) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if name == "memory":
        return f"{value / 2**30:.3g} GiB memory"
    return f"{value:g} {name}"
