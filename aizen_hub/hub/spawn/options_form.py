"""Options form of the spawn page: the project of a server. The choice is checked again at the start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jupyterhub.spawner import SpawnException
from jupyterhub.utils import url_escape_path, url_path_join
from markupsafe import Markup

from aizen_hub.api_models.sessions import (
    SpawnLimit,
    SpawnOptionsResponse,
    SpawnProject,
    SpawnRole,
    UnavailableSpawnProject,
)
from aizen_hub.hub.spawn.server_session import panel_path, selected_project
from aizen_hub.hub.spawn.spawner_form import read_spawner_form, render_spawner_form
from aizen_hub.problems import Problem

log = logging.getLogger("aizen_hub.spawn")

SEARCH_FROM = 8
"""With so many projects the page has a field to search them."""
_LIMIT_TEXTS = {
    "jobs": "{limit.used} of {limit.value:g} jobs running",
    "projects": "{limit.used} of {limit.value:g} projects created",
    "memory": "{gib:.3g} GiB of memory for each server",
    "cpu": "{limit.value:g} cores for each server",
}
_templates = Environment(loader=PackageLoader("aizen_hub.hub"), autoescape=True, undefined=StrictUndefined)


async def options_form(spawner: Any, search: str = "") -> str:
    """Return the HTML of the options form; the value of ``c.Spawner.options_form``.

    Without anything to start it is the fields of a request for access; without a response of the service it says so.
    Neither has a field of a start, and the page shows no *Start* button.

    Parameters
    ----------
    search : str
        Show only the projects with this text in their name or description.
    """
    authenticator, user = spawner.authenticator, spawner.user.name
    try:
        options = await authenticator.service.get_spawn_options(user)
    except Problem as error:
        log.error("spawn options of `%s`: %s", user, error.detail)
        return _render("options_form_unavailable.html")
    if not (options.projects or options.system_session):
        return request_fields(options, user)
    found = [project for project in options.projects if _is_found(project, search)]
    unavailable = [project for project in options.unavailable if _is_found(project, search)]
    own = [project for project in found if project.roles]
    others = [project for project in found if not project.roles]
    last = _last_project(spawner)
    own.sort(key=lambda project: project.name != last)  # the service sorts by last use; a failed start counts too
    form = _render(
        "options_form.html",
        projects=[_to_card(project) for project in own],
        others=[_to_card(project) for project in others],
        unavailable=unavailable,
        system_session=options.system_session,
        notice=options.notice,
        chosen=_preselected([project.name for project in own], options.system_session, last),
        # Without a choice there is nothing to fill in: the page has only *Start*.
        single=len(options.projects) + options.system_session == 1 and not search,
        searchable=len(options.projects) + len(options.unavailable) >= SEARCH_FROM,
        panel=panel_path(spawner),
        search=search,
        spawn_page=_spawn_page(spawner),
        server=getattr(spawner, "name", ""),
        next_url=_next_url(spawner),
    )
    # What the spawner renders is put in as it is, as the hub does.
    return form + Markup(await render_spawner_form(spawner))  # noqa: S704 - by the operator's spawner


def _is_found(project: SpawnProject | UnavailableSpawnProject, text: str) -> bool:
    """Return whether a project is found, as the script of the page finds it."""
    return text.lower() in f"{project.name} {project.description or ''}".lower()


def _spawn_page(spawner: Any) -> str:
    path = url_path_join(spawner.hub.base_url, "spawn", url_escape_path(spawner.user.name))
    return url_path_join(path, url_escape_path(spawner.name)) if getattr(spawner, "name", "") else path


def _next_url(spawner: Any) -> str:
    """Return where the user goes after the start, of the request that shows the page; the hub checks it then."""
    handler = getattr(spawner, "handler", None)
    return "" if handler is None else str(handler.get_query_argument("next", ""))


def request_fields(
    options: SpawnOptionsResponse, user: str, typed: Mapping[str, str] | None = None, error: str | None = None
) -> str:
    """Return the HTML of the fields of a request for access, for a user who has nothing to start.

    Parameters
    ----------
    typed : mapping, optional
        What was typed, where the request was refused with ``error``.
    """
    return _render(
        "request_fields.html",
        user=user,
        roles=options.askable_roles,
        listed=[project for project in options.unavailable if project.may_ask],
        stopped=[project for project in options.unavailable if not project.may_ask],
        pending_requests=options.pending_requests,
        notice=options.notice,
        typed=typed or {},
        error=error,
        format_day=_format_day,
    )


def _render(template: str, **variables: Any) -> Markup:
    # Rendered by a template that escapes; the hub and our own page put it in as it is.
    return Markup(_templates.get_template(template).render(**variables))  # noqa: S704 - a template


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
    running = project.running_servers
    servers = [f"{running} of your servers {'runs' if running == 1 else 'run'} here"] if running else []
    return {
        "name": project.name,
        "description": project.description or "",
        "roles": [(role.name, _format_end(role)) for role in project.roles],
        "role_texts": [role.text for role in project.roles if role.text],
        "last_used": _format_day(project.last_used),
        "limits": [*servers, *map(_format_limit, project.limits)],
    }


def _format_end(role: SpawnRole) -> str:
    return f"until {_format_day(role.ends)}" if role.ends else ""


def _format_day(time: str | None) -> str:
    return "" if time is None else f"{(day := datetime.fromisoformat(time)).day} {day:%b %Y}"


def _format_limit(limit: SpawnLimit) -> str:
    return _LIMIT_TEXTS.get(limit.kind, "{limit.label}: {limit.value:g}").format(limit=limit, gib=limit.value / 2**30)
