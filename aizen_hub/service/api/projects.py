"""Projects and their members."""

from __future__ import annotations

import json
from typing import Any

from aizen_hub.accounts.projects import members as project_members
from aizen_hub.accounts.projects import projects
from aizen_hub.service.api.change_response import change, if_match
from aizen_hub.service.api.schemas.access import Members, NewProject
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call

_MEMBERS = 1 << 20


def _file(members: list[dict[str, Any]] | None) -> str | None:
    # The same reader as for `alter project …,config=<file>`, so that every fault is found and named in the same way.
    return None if members is None else json.dumps(members, ensure_ascii=False)


async def listing(call: Call) -> Answer:
    return await change(call, projects.list_projects)


async def create(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: projects.create(tx, body.name, description=body.description, config=_file(body.members)), 201
    )


async def show(call: Call) -> Answer:
    return await change(call, lambda tx: projects.show(tx, call.members["project"]))


async def export(call: Call) -> Answer:
    return await change(call, lambda tx: projects.export(tx, call.members["project"]))


async def replace(call: Call) -> Answer:
    version = if_match(call)
    return await change(
        call,
        lambda tx: project_members.replace(
            tx, call.members["project"], _file(call.body.members) or "[]", if_match=version
        ),
    )


async def remove(call: Call) -> Answer:
    return await change(call, lambda tx: projects.remove(tx, call.members["project"]))


ROUTES = (
    Route("GET", "/api/v1/projects", PEOPLE, REGISTERED, listing, "List one's projects.", answer=ResultView),
    Route(
        "POST",
        "/api/v1/projects",
        PEOPLE,
        Need.like("create_project"),
        create,
        "Make a project; one becomes its admin.",
        body=NewProject,
        answer=ResultView,
        status=201,
        keyed=True,
        max_body=_MEMBERS,
    ),
    Route(
        "GET",
        "/api/v1/projects/{project}",
        PEOPLE,
        Need.like("show_project", "project"),
        show,
        "Show a project.",
        answer=ResultView,
    ),
    Route(
        "GET",
        "/api/v1/projects/{project}/config",
        PEOPLE,
        Need.like("exportconfig_project", "project"),
        export,
        "Export a project's configuration.",
        answer=ResultView,
    ),
    Route(
        "PUT",
        "/api/v1/projects/{project}/members",
        PEOPLE,
        Need.like("alter_project", "project"),
        replace,
        "Replace a project's users, roles and alerts in their entirety.",
        body=Members,
        answer=ResultView,
        keyed=True,
        versioned=True,
        max_body=_MEMBERS,
    ),
    Route(
        "DELETE",
        "/api/v1/projects/{project}",
        PEOPLE,
        Need.like("delete_project", "project"),
        remove,
        "Delete a project; its name stays reserved.",
        answer=ResultView,
        keyed=True,
    ),
)
