"""The table of all routes: what is not in it does not exist."""

from __future__ import annotations

from functools import cache

from aizen_hub.service.api import (
    access,
    agents,
    authzen,
    commands,
    groups,
    health,
    jobs,
    live,
    login,
    logins,
    mappings,
    me,
    policy,
    projects,
    questions,
    releases,
    requests,
    roles,
    sessions,
    stop,
    tokens,
    users,
)
from aizen_hub.service.oauth.routes import ROUTES as OAUTH
from aizen_hub.service.panel import account, activate, door, home, people, waiting
from aizen_hub.service.route import Route


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
