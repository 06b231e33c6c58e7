"""All routes of the pages about the viewer."""

from __future__ import annotations

from aizen_hub.service.panel.mine import access, account, commands, leaving, requests, second_factor, sessions

ROUTES = (
    *access.ROUTES,
    *requests.ROUTES,
    *leaving.ROUTES,
    *commands.ROUTES,
    *sessions.ROUTES,
    *account.ROUTES,
    *second_factor.ROUTES,
)
