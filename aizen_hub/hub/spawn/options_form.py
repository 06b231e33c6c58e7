"""Options form of the spawn page: the project of a server. The choice is checked again at the start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jupyterhub.spawner import SpawnException
from markupsafe import Markup

from aizen_hub.api_models.sessions import SpawnProject
from aizen_hub.hub.spawn.server_session import panel_path, selected_project
from aizen_hub.hub.spawn.spawner_form import read_spawner_form, render_spawner_form
from aizen_hub.problems import Problem

log = logging.getLogger("aizen_hub.spawn")

SEARCH_FROM = 8
"""With so many projects the page has a field to search them."""
_templates = Environment(loader=PackageLoader("aizen_hub.hub"), autoescape=True, undefined=StrictUndefined)


async def options_form(spawner: Any) -> str:
    """Return the HTML of the options form; the value of ``c.Spawner.options_form``.

    Without projects it is the way to ask for access; without a response of the service it says so. Neither has a field
    of a start, and the page shows no *Start* button.
    """
    authenticator, user = spawner.authenticator, spawner.user.name
    try:
        options = await authenticator.service.get_spawn_options(user)
    except Problem as error:
        log.error("spawn options of `%s`: %s", user, error.detail)
        return Markup(_templates.get_template("options_form_unavailable.html").render())  # noqa: S704 - a template
    own = [project for project in options.projects if project.roles]
    others = [project for project in options.projects if not project.roles]
    last = _last_project(spawner)
    own.sort(key=lambda project: project.name != last)  # the service sorts by last use; a failed start counts too
    form = _templates.get_template("options_form.html").render(
        projects=[_to_card(project) for project in own],
        others=[_to_card(project) for project in others],
        unavailable=options.unavailable,
        system_session=options.system_session,
        notice=options.notice,
        chosen=_preselected([project.name for project in own], options.system_session, last),
        searchable=len(own) + len(others) >= SEARCH_FROM,
        panel=panel_path(spawner),
        user=user,
    )
    spawner_form = await render_spawner_form(spawner) if own or others or options.system_session else ""
    # Rendered by a template that escapes, and by the spawner; the hub and our own page put it in as it is.
    return Markup(form + spawner_form)  # noqa: S704 - a template


def options_from_form(form: Mapping[str, Any], spawner: Any = None) -> dict[str, Any]:
    """Convert the field `project` to text, and read the others as the spawner does.

    Other fields belong to the operator's own form; those that ``spawn.user_options`` lists reach the spawner.
    """
    others = {name: value for name, value in form.items() if name != "project"}
    # The hub names the spawner for a form, and not for a link, which has the names of the options themselves.
    options = others if spawner is None else read_spawner_form(spawner, others)
    if "project" in form:
        value = form["project"]
        options["project"] = value[0] if isinstance(value, list) and len(value) == 1 else value
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
        "role_texts": project.role_texts,
        "last_used": (project.last_used or "")[:10],
        "limits": [
            text
            for name, value in sorted(project.limits.items())
            if (text := _format_limit(name, value, project.running_jobs))
        ],
    }


def _format_limit(name: str, value: Any, running_jobs: int) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if name == "memory":
        return f"{value / 2**30:.3g} GiB memory"
    return f"{running_jobs} of {value:g} jobs running" if name == "jobs" else f"{value:g} {name}"
