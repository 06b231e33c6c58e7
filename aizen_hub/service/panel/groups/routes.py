"""The routes of all pages about groups."""

from __future__ import annotations

from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.groups import group, membership, overview
from aizen_hub.service.panel.identity_stop import StopPage

_STOP = StopPage("groups", Identity.group, group.find_group)
ROUTES = (*overview.ROUTES, *group.ROUTES, *membership.ROUTES, *_STOP.routes("a group"))
