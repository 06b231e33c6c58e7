"""All routes of the pages for the operation of the system."""

from __future__ import annotations

from aizen_hub.service.panel.system import directory, directory_reading, keys, overview, policy, sessions, unused

ROUTES = (
    *overview.ROUTES,
    *sessions.ROUTES,
    *unused.ROUTES,
    *keys.ROUTES,
    *directory.ROUTES,
    *directory_reading.ROUTES,
    *policy.ROUTES,
)
