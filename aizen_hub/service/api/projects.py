"""Routes for projects and their members."""

from __future__ import annotations

import json
from typing import Any

from aizen_hub.accounts.projects import lifecycle, members, queries
from aizen_hub.service.api.change_response import authorized_result, parse_if_match
from aizen_hub.service.api.schemas.access import NewProject, ProjectMembers
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext

_MAX_BODY = 1 << 20


def _to_config_file(entries: list[dict[str, Any]] | None) -> str | None:
    # Parsed like the file of `alter project …,config=<file>`, so that faults are reported in the same way.
    return None if entries is None else json.dumps(entries, ensure_ascii=False)


async def list_projects(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, queries.list_projects)


async def create_project(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: lifecycle.create_project(
            tx, body.name, description=body.description, config=_to_config_file(body.members)
        ),
        201,
    )


async def show_project(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: queries.show_project(tx, ctx.path_params["project"]))


async def export_config(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: queries.export_project(tx, ctx.path_params["project"]))


async def replace_members(ctx: RequestContext) -> JsonResponse:
    version = parse_if_match(ctx)
    return await authorized_result(
        ctx,
        lambda tx: members.replace_members(
            tx, ctx.path_params["project"], _to_config_file(ctx.body.members) or "[]", if_match=version
        ),
    )


async def delete_project(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: lifecycle.delete_project(tx, ctx.path_params["project"]))


ROUTES = (
    Route(
        "GET",
        "/api/v1/projects",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_projects,
        "List your projects.",
        response=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/projects",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("create_project"),
        create_project,
        "Create a project and become its administrator.",
        body=NewProject,
        response=ResultView,
        status=201,
        idempotent=True,
        max_body=_MAX_BODY,
    ),
    Route(
        "GET",
        "/api/v1/projects/{project}",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("show_project", "project"),
        show_project,
        "Show a project.",
        response=ResultView,
    ),
    Route(
        "GET",
        "/api/v1/projects/{project}/config",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("exportconfig_project", "project"),
        export_config,
        "Export a project's configuration.",
        response=ResultView,
    ),
    Route(
        "PUT",
        "/api/v1/projects/{project}/members",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("alter_project", "project"),
        replace_members,
        "Replace all users, roles and alerts of a project.",
        body=ProjectMembers,
        response=ResultView,
        idempotent=True,
        if_match=True,
        max_body=_MAX_BODY,
    ),
    Route(
        "DELETE",
        "/api/v1/projects/{project}",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("delete_project", "project"),
        delete_project,
        "Delete a project; its name stays reserved.",
        response=ResultView,
        idempotent=True,
    ),
)
