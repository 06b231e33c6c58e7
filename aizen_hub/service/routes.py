"""The table of all routes; any other address is refused."""

from __future__ import annotations

import json
from functools import cache

from aizen_hub.service.api import (
    commands,
    core_events,
    health,
    me,
    operations,
    projects,
    remote_workers,
    sessions,
    token_revocation,
)
from aizen_hub.service.api.access import assignments, authzen, policy, queries, roles
from aizen_hub.service.api.decisions import requests, reviews
from aizen_hub.service.api.hub import command_line_sign_in, spawn_page
from aizen_hub.service.api.hub import logins as hub_logins
from aizen_hub.service.api.hub import sessions as hub_sessions
from aizen_hub.service.api.identities import (
    groups,
    linked_logins,
    mapping_rules,
    name_release,
    user_import,
    user_stop,
    users,
)
from aizen_hub.service.api.mine import completions, questions
from aizen_hub.service.api.mine import jobs as own_jobs
from aizen_hub.service.api.mine import session as own_session
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, RawResponse, Route
from aizen_hub.service.oauth.routes import ROUTES as OAUTH_ROUTES
from aizen_hub.service.openapi import build_document
from aizen_hub.service.panel import documentation, search, static_files, undo
from aizen_hub.service.panel.decisions import audit as panel_audit
from aizen_hub.service.panel.decisions import changes, why
from aizen_hub.service.panel.decisions import requests as panel_requests
from aizen_hub.service.panel.decisions import reviews as panel_reviews
from aizen_hub.service.panel.groups.routes import ROUTES as GROUP_ROUTES
from aizen_hub.service.panel.home.routes import ROUTES as HOME_ROUTES
from aizen_hub.service.panel.mine.routes import ROUTES as OWN_ROUTES
from aizen_hub.service.panel.people.routes import ROUTES as PEOPLE_ROUTES
from aizen_hub.service.panel.projects.routes import ROUTES as PROJECT_ROUTES
from aizen_hub.service.panel.roles.routes import ROUTES as ROLE_ROUTES
from aizen_hub.service.panel.service_accounts.routes import ROUTES as SERVICE_ACCOUNT_ROUTES
from aizen_hub.service.panel.sign_in import activate, command_line, oauth_callback
from aizen_hub.service.panel.system.routes import ROUTES as SYSTEM_ROUTES
from aizen_hub.service.pipeline.request_context import RequestContext


@cache
def routes() -> tuple[Route, ...]:
    """Return every route."""
    return (
        *commands.ROUTES,
        *hub_sessions.ROUTES,
        *spawn_page.ROUTES,
        *hub_logins.ROUTES,
        *linked_logins.ROUTES,
        *OAUTH_ROUTES,
        *me.ROUTES,
        *own_session.ROUTES,
        *own_jobs.ROUTES,
        *completions.ROUTES,
        *questions.ROUTES,
        *core_events.ROUTES,
        *users.ROUTES,
        *sessions.ROUTES,
        *projects.ROUTES,
        *assignments.ROUTES,
        *roles.ROUTES,
        *groups.ROUTES,
        *mapping_rules.ROUTES,
        *requests.ROUTES,
        *reviews.ROUTES,
        *name_release.ROUTES,
        *queries.ROUTES,
        *policy.ROUTES,
        *operations.ROUTES,
        *authzen.ROUTES,
        *remote_workers.ROUTES,
        *user_import.ROUTES,
        *user_stop.ROUTES,
        *token_revocation.ROUTES,
        *activate.ROUTES,
        *command_line.ROUTES,
        *command_line_sign_in.ROUTES,
        *oauth_callback.ROUTES,
        *static_files.ROUTES,
        *documentation.ROUTES,
        *HOME_ROUTES,
        *undo.ROUTES,
        *search.ROUTES,
        *OWN_ROUTES,
        *panel_requests.ROUTES,
        *changes.ROUTES,
        *panel_audit.ROUTES,
        *panel_reviews.ROUTES,
        *why.ROUTES,
        *SYSTEM_ROUTES,
        *PEOPLE_ROUTES,
        *GROUP_ROUTES,
        *SERVICE_ACCOUNT_ROUTES,
        *PROJECT_ROUTES,
        *ROLE_ROUTES,
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
