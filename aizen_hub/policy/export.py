"""Export of the current state of the store as a policy file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.policy.loader import MAX_ENTRIES, is_sendable
from aizen_hub.problems import Conflict
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import ReadTransaction

_MAX_ROWS = MAX_ENTRIES + 1
"""Rows read per table: each becomes at least one entry, so one more than the limit shows that it is exceeded."""


def export_policy(tx: ReadTransaction, actor: Actor) -> dict[str, Any]:
    """Return roles, groups, projects and assignments in the format of the policy file (R131).

    Applying the result to the same store changes nothing. Directory memberships and limits of single identities are not
    part of it. The caller records the export in the audit.

    Raises
    ------
    Denied
        The actor may not read access in the system.
    Conflict
        The state exceeds the limits of a policy file; it is never truncated.
    """
    checks.require_for(tx, actor, checks.endpoint_permission(tx, "access"))
    conn, a, g, m, r = tx.conn, tables.assignments, tables.groups, tables.memberships, tables.roles
    members: dict[str, list[str]] = {
        name: []
        for name in conn.execute(
            select(g.c.name).where(g.c.provider.is_(None)).order_by(g.c.name).limit(_MAX_ROWS)
        ).scalars()
    }
    query = select(g.c.name, m.c.member).join(m, m.c.group_id == g.c.id)
    for row in conn.execute(query.where(m.c.provider.is_(None)).order_by(g.c.name, m.c.member).limit(_MAX_ROWS)):
        members.setdefault(row.name, []).append(row.member)
    custom = {
        row.name: {
            "description": row.description,
            "category": row.category,
            "scopes": row.scopes,
            "permissions": row.permissions,
            "limits": row.limits,
        }
        for row in conn.execute(select(r).order_by(r.c.name).limit(_MAX_ROWS))
    }
    assignments = []
    # Assignments from mapping rules are left out: the rule adds and removes them.
    direct_assignments = select(a).where(a.c.mapped.is_(False)).order_by(a.c.scope, a.c.role, a.c.identity)
    for row in conn.execute(direct_assignments.limit(_MAX_ROWS)):
        entry = {"role": row.role, "scope": row.scope, "identity": row.identity}
        entry |= {key: value.isoformat() for key, value in (("from", row.starts), ("until", row.ends)) if value}
        assignments.append(entry | ({"reason": row.reason} if row.reason else {}))
    document = {
        "catalog": tx.catalog.name,
        "roles": custom,
        "groups": members,
        "projects": list(
            conn.execute(select(tables.projects.c.name).order_by(tables.projects.c.name).limit(_MAX_ROWS)).scalars()
        ),
        "assignments": assignments,
    }
    if not is_sendable(document):
        raise Conflict(
            "the state exceeds the limits of one policy file, so the export could not be applied",
            remedy="`aizen-hub role list`, `role holders`, `group members` and `project export` show it in parts",
        )
    return document
