"""All routes of the pages about the viewer."""

from __future__ import annotations

from aizen_hub.service.panel.mine import access, account, asking, commands, leaving, requests, second_factor, sessions

ROUTES = (
    *access.ROUTES,
    *asking.ROUTES,
    *requests.ROUTES,
    *leaving.ROUTES,
    *commands.ROUTES,
    *sessions.ROUTES,
    *account.ROUTES,
    *second_factor.ROUTES,
)
