"""All routes of the pages about projects."""

from __future__ import annotations

from aizen_hub.service.panel.projects import (
    creation,
    history,
    limit_changes,
    listing,
    matrix,
    member_changes,
    members,
    people_matrix,
    requests,
    selected_members,
    settings,
)

ROUTES = (
    *listing.ROUTES,
    *creation.ROUTES,
    *members.ROUTES,
    *member_changes.ROUTES,
    *selected_members.ROUTES,
    *matrix.ROUTES,
    *people_matrix.ROUTES,
    *history.ROUTES,
    *requests.ROUTES,
    *settings.ROUTES,
    *limit_changes.ROUTES,
)
