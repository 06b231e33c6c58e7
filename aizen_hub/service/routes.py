"""The table of all routes: what is not in it does not exist."""

from __future__ import annotations

from functools import cache

from aizen_hub.service.api import (
    access,
    authzen,
    commands,
    groups,
    health,
    me,
    policy,
    projects,
    requests,
    roles,
    users,
)
from aizen_hub.service.api import access_queries as questions
from aizen_hub.service.api import core_events as jobs
from aizen_hub.service.api import hub_logins as login
from aizen_hub.service.api import hub_sessions as sessions
from aizen_hub.service.api import linked_logins as logins
from aizen_hub.service.api import mapping_rules as mappings
from aizen_hub.service.api import name_release as releases
from aizen_hub.service.api import remote_workers as agents
from aizen_hub.service.api import sessions as live
from aizen_hub.service.api import token_revocation as tokens
from aizen_hub.service.api import user_stop as stop
from aizen_hub.service.http.route import Route
from aizen_hub.service.oauth.routes import ROUTES as OAUTH
from aizen_hub.service.panel import account, activate, home
from aizen_hub.service.panel import approvals as waiting
from aizen_hub.service.panel import oauth_callback as door
from aizen_hub.service.panel import sessions as people


@cache
def routes() -> tuple[Route, ...]:
    """Return every route; the busiest first, since addresses are tried in this order."""
    return (
        *commands.ROUTES,
        *sessions.ROUTES,
        *login.ROUTES,
        *logins.ROUTES,
        *OAUTH,
        *me.ROUTES,
        *jobs.ROUTES,
        *users.ROUTES,
        *live.ROUTES,
        *projects.ROUTES,
        *access.ROUTES,
        *roles.ROUTES,
        *groups.ROUTES,
        *mappings.ROUTES,
        *requests.ROUTES,
        *releases.ROUTES,
        *questions.ROUTES,
        *policy.ROUTES,
        *authzen.ROUTES,
        *agents.ROUTES,
        *stop.ROUTES,
        *tokens.ROUTES,
        *activate.ROUTES,
        *door.ROUTES,
        *home.ROUTES,
        *waiting.ROUTES,
        *people.ROUTES,
        *account.ROUTES,
        *health.ROUTES,
    )
