"""The routes of all pages about groups."""

from __future__ import annotations

from aizen_hub.service.panel.groups import group, membership, overview

ROUTES = (*overview.ROUTES, *group.ROUTES, *membership.ROUTES)
