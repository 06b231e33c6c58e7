"""All routes of the pages about the viewer."""

from __future__ import annotations

from aizen_hub.service.panel.mine import (
    access,
    account,
    alerts,
    asking,
    commands,
    deciders,
    hub_tokens,
    leaving,
    requests,
    second_factor,
    sessions,
)

ROUTES = (
    *access.ROUTES,
    *asking.ROUTES,
    *deciders.ROUTES,
    *requests.ROUTES,
    *leaving.ROUTES,
    *commands.ROUTES,
    *sessions.ROUTES,
    *hub_tokens.ROUTES,
    *account.ROUTES,
    *alerts.ROUTES,
    *second_factor.ROUTES,
)
