"""The routes of all pages about people."""

from __future__ import annotations

from aizen_hub.service.panel.people import (
    account,
    activity,
    comparing,
    importing,
    locks,
    overview,
    person,
    registering,
    revocation,
    selection,
    stopping,
)

ROUTES = (
    *overview.ROUTES,
    *registering.ROUTES,
    *importing.ROUTES,
    *selection.ROUTES,
    *comparing.ROUTES,
    *person.ROUTES,
    *activity.ROUTES,
    *account.ROUTES,
    *stopping.ROUTES,
    *locks.ROUTES,
    *revocation.ROUTES,
)
