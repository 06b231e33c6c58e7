"""The table of all routes; any other address is refused."""

from __future__ import annotations

import json
from functools import cache

from aizen_hub.service.api import (
    access,
    access_queries,
    authzen,
    commands,
    core_events,
    groups,
    health,
    hub_logins,
    hub_sessions,
    linked_logins,
    mapping_rules,
    me,
    name_release,
    policy,
    projects,
    remote_workers,
    requests,
    roles,
    sessions,
    token_revocation,
    user_stop,
    users,
)
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, RawResponse, Route
from aizen_hub.service.oauth.routes import ROUTES as OAUTH_ROUTES
from aizen_hub.service.openapi import build_document
from aizen_hub.service.panel import account, activate, approvals, home, oauth_callback, static_files
from aizen_hub.service.panel import sessions as panel_sessions
from aizen_hub.service.pipeline.request_context import RequestContext


@cache
def routes() -> tuple[Route, ...]:
    """Return every route."""
    return (
        *commands.ROUTES,
        *hub_sessions.ROUTES,
        *hub_logins.ROUTES,
        *linked_logins.ROUTES,
        *OAUTH_ROUTES,
        *me.ROUTES,
        *core_events.ROUTES,
        *users.ROUTES,
        *sessions.ROUTES,
        *projects.ROUTES,
        *access.ROUTES,
        *roles.ROUTES,
        *groups.ROUTES,
        *mapping_rules.ROUTES,
        *requests.ROUTES,
        *name_release.ROUTES,
        *access_queries.ROUTES,
        *policy.ROUTES,
        *authzen.ROUTES,
        *remote_workers.ROUTES,
        *user_stop.ROUTES,
        *token_revocation.ROUTES,
        *activate.ROUTES,
        *oauth_callback.ROUTES,
        *static_files.ROUTES,
        *home.ROUTES,
        *approvals.ROUTES,
        *panel_sessions.ROUTES,
        *account.ROUTES,
        *health.ROUTES,
        _OPENAPI,
    )


async def show_openapi(ctx: RequestContext) -> RawResponse:
    """Return the OpenAPI document of all routes."""
    service = ctx.service
    content = _openapi_json(service.settings.service_url, service.browser_login.cookie_name)
    return RawResponse(content, "application/json")


@cache
def _openapi_json(url: str, cookie: str) -> bytes:
    return json.dumps(build_document(routes(), url, cookie), ensure_ascii=False, separators=(",", ":")).encode()


_OPENAPI = Route(
    "GET",
    "/api/v1/openapi.json",
    frozenset({AuthMethod.NONE}),
    CREDENTIAL_SUFFICES,
    show_openapi,
    "This document.",
    available_when_sealed=True,
    media_type="application/json",
)
