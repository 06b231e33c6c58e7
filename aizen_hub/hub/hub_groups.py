"""What the hub itself knows of a person's rights: group names for its own filters, and whether its admin page opens."""

from __future__ import annotations

import logging

from aizen_hub.client.responses import Projection

ADMIN_GROUP = "aizen-admins"
"""The hub group of those who may use the hub's admin page; its name can never be that of a project's group."""

GROUPS = "aizen:"
"""What the names of all other hub groups of ours begin with, so that they never meet the operator's own."""

MAX_PROJECTED = 200

log = logging.getLogger("aizen_hub.login")


def hub_groups(projection: Projection) -> list[str]:
    """Return the hub groups of a person: one for each project in which they have a role, up to 200."""
    groups = sorted({one if one.startswith(GROUPS) else GROUPS + one for one in projection.groups})
    if len(groups) > MAX_PROJECTED:
        # The hub pays for each group at each request; its own filters can do without, decisions never use them.
        log.warning("only %d of %d groups are known to the hub", MAX_PROJECTED, len(groups))
    return groups[:MAX_PROJECTED] + ([ADMIN_GROUP] if projection.admin else [])
