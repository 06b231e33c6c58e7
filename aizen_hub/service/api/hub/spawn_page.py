"""Routes of the hub's spawn page: what a user may start, and a request for access where that is nothing."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts import hub_providers
from aizen_hub.accounts.sessions import spawn_options, spawn_requests
from aizen_hub.api_models.sessions import (
    SpawnAccessRequest,
    SpawnAccessResponse,
    SpawnOptionsQuery,
    SpawnOptionsResponse,
)
from aizen_hub.commands.result import Result, to_json_value
from aizen_hub.jobs.limit_use import LimitUse, read_limits_by_scope
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.hub.hub_actor import hub_actor
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

BY_HUB_SECRET = frozenset({AuthMethod.HUB_SECRET})


async def list_spawn_options(ctx: RequestContext) -> JsonResponse:
    user, hub = ctx.query.user, hub_actor(ctx).hub

    def operation(tx: ReadTransaction) -> dict[str, Any]:
        hub_providers.require_user(tx, hub, user)
        return _read_options(tx, user)

    return JsonResponse(await ctx.unauthorized_read(operation))


def _read_options(tx: ReadTransaction, user: str) -> dict[str, Any]:
    options = spawn_options.get_spawn_options(tx, user)
    identity = Identity.user(user)
    own = [project.name for project in options.projects if project.roles]
    uses = read_limits_by_scope(tx, identity, own) if own else {}
    asks = options.is_empty and tx.rights(identity).active
    return {
        "projects": [_format_project(project, uses.get(project.name, [])) for project in options.projects],
        "unavailable": [
            {
                "name": project.name,
                "description": project.description,
                "reason": project.reason,
                "may_ask": project.may_ask,
            }
            for project in options.unavailable
        ],
        "system_session": options.system_session,
        "notice": options.notice,
        "askable_roles": [
            {"name": role.name, "text": role.description, "ends": None}
            for role in (spawn_requests.askable_roles(tx, identity) if asks else ())
        ],
        "pending_requests": [
            {"role": row.payload["role"], "project": row.payload["scope"], "sent": to_json_value(row.requested)}
            for row in (spawn_requests.pending_requests(tx, identity) if asks else ())
        ],
    }


def _format_project(project: spawn_options.ProjectOption, limits: list[LimitUse]) -> dict[str, Any]:
    return {
        "name": project.name,
        "description": project.description,
        "roles": [{"name": role.name, "text": role.text, "ends": to_json_value(role.ends)} for role in project.roles],
        "limits": [
            {"kind": limit.kind, "label": limit.label, "value": limit.value, "used": limit.used} for limit in limits
        ],
        "running_servers": project.running_servers,
        "last_used": to_json_value(project.last_used),
    }


async def ask_for_access(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    actor = hub_actor(ctx, user=body.user)

    def operation(tx: WriteTransaction) -> Result:
        hub_providers.require_user(tx, actor.hub, body.user)
        return spawn_requests.request_project(tx, body.project, body.role, duration=body.duration, reason=body.because)

    made = await ctx.unauthorized_write(actor, operation)
    return JsonResponse({"message": made.message}, 201)


ROUTES = (
    Route(
        "GET",
        "/api/v1/sessions/choices",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        list_spawn_options,
        "List the projects that a user may start a server for.",
        query=SpawnOptionsQuery,
        response=SpawnOptionsResponse,
    ),
    Route(
        "POST",
        "/api/v1/sessions/choices/requests",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        ask_for_access,
        "Request a role in a project for a user who has nothing to start.",
        body=SpawnAccessRequest,
        response=SpawnAccessResponse,
        status=201,
    ),
)
