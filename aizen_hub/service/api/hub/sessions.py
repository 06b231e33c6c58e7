"""Routes by which the hub opens and ends sessions, and sends heartbeats."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aizen_hub.accounts import hub_providers
from aizen_hub.accounts.sessions import heartbeat, project_entry, server_sessions
from aizen_hub.accounts.sessions.role_sources import describe_roles
from aizen_hub.api_models.sessions import (
    EndSessionsRequest,
    EndSessionsResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    OpenSessionRequest,
    OpenSessionResponse,
)
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.hub.hub_actor import hub_actor
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.role_token import issue_role_token

BY_HUB_SECRET = frozenset({AuthMethod.HUB_SECRET})
_SPAWNER_LIMITS = ("memory", "cpu")


async def open_session(ctx: RequestContext) -> JsonResponse:
    body, service = ctx.body, ctx.service
    settings = service.settings

    actor = hub_actor(ctx, user=body.user)

    def operation(tx: WriteTransaction) -> dict[str, Any]:
        service.clock.check()
        hub_providers.require_user(tx, actor.hub, body.user)
        opened = server_sessions.open_session(tx, body.user, body.requester, body.server, body.project, body.credential)
        lifetime = timedelta(seconds=settings.role_token.lifetime_seconds)
        token = issue_role_token(
            service.keys.ring(tx),
            settings.service_url,
            settings.service_url,
            subject=opened.user,
            session_id=opened.session_id,
            project=opened.project,
            roles=opened.roles,
            revision=tx.revision,
            now=tx.now,
            lifetime=lifetime,
        )
        return {
            "session": opened.session_id,
            "token": token,
            "expires_in": settings.role_token.lifetime_seconds,
            "project": opened.project,
            "environment": {"AIZEN_URL": settings.service_url, "AIZEN_PROJECT": opened.project or ""},
            "limits": {kind: opened.limits[kind] for kind in _SPAWNER_LIMITS if kind in opened.limits},
            "roles": describe_roles(tx, Identity.user(opened.user), opened.project),
            "notice": opened.notice,
        }

    session = await ctx.unauthorized_write(actor, operation)
    service.metrics.count_session_event("opened")
    return JsonResponse(session, 201)


async def end_sessions(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    count = await ctx.unauthorized_write(
        hub_actor(ctx, user=body.user), lambda tx: server_sessions.end_sessions(tx, body.user, body.server, body.reason)
    )
    ctx.service.metrics.count_session_event("ended", count)
    return JsonResponse({"ended": count})


async def receive_heartbeat(ctx: RequestContext) -> JsonResponse:
    live = [(server.user, server.server) for server in ctx.body.live]

    def operation(tx: WriteTransaction) -> tuple[heartbeat.HeartbeatResult, list[str]]:
        of_others = hub_providers.find_people_of_others(tx, tx.actor.hub, ctx.body.admins)
        former_admins = [name for name in ctx.body.admins if name in of_others or not project_entry.is_admin(tx, name)]
        return heartbeat.process_heartbeat(tx, live), former_admins

    actor = hub_actor(ctx)
    result, former_admins = await ctx.unauthorized_write(actor, operation)
    ctx.service.metrics.count_session_event("ended", len(result.ended))
    ctx.service.state.servers_without_session[actor.hub] = result.without_session
    return JsonResponse(
        {
            "ended": [{"user": user, "server": server} for user, server in result.ended],
            "stop": [{"user": user, "server": server} for user, server in result.stop],
            "without_session": [{"user": user, "server": server} for user, server in result.without_session],
            "former_admins": former_admins,
        }
    )


ROUTES = (
    Route(
        "POST",
        "/api/v1/sessions",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        open_session,
        "Open the session of a server that is about to start.",
        body=OpenSessionRequest,
        response=OpenSessionResponse,
        status=201,
    ),
    Route(
        "POST",
        "/api/v1/sessions/end",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        end_sessions,
        "End the sessions of one server.",
        body=EndSessionsRequest,
        response=EndSessionsResponse,
    ),
    Route(
        "POST",
        "/api/v1/sessions/heartbeat",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        receive_heartbeat,
        "Report all running servers.",
        body=HeartbeatRequest,
        response=HeartbeatResponse,
        max_body=4 << 20,
        max_members=50_000,
    ),
)
