"""Names of the hub groups that the hub itself sees: one for each project of a user, and one for the admin page."""

from __future__ import annotations

import logging

from aizen_hub.api_models.logins import HubUserModel

ADMIN_GROUP = "aizen-admins"
"""The hub group of users of the hub's admin page; no project's group can have this name."""

GROUP_PREFIX = "aizen:"
"""Prefix of all other hub groups of aizen-hub, so that they cannot collide with those of the operator."""

MAX_GROUPS = 200

log = logging.getLogger("aizen_hub.login")


def hub_group_names(info: HubUserModel) -> list[str]:
    """Return the hub groups of a user: one for each project in which the user has a role, up to 200."""
    groups = sorted({group if group.startswith(GROUP_PREFIX) else GROUP_PREFIX + group for group in info.groups})
    if len(groups) > MAX_GROUPS:
        # The hub evaluates every group at every request. Decisions never use these groups.
        log.warning("%d of %d groups were reported to the hub", MAX_GROUPS, len(groups))
    return groups[:MAX_GROUPS] + ([ADMIN_GROUP] if info.admin else [])
