"""The present state of the store as a policy file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.authorization import checks as gate
from aizen_hub.policy.policy import MAX_ENTRIES, travels
from aizen_hub.problems import Conflict
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import Read

_MOST = MAX_ENTRIES + 1
"""Rows of one kind: each fills at least one entry, so one more than fit is enough to know that they do not."""


def export(tx: Read, actor: Actor) -> dict[str, Any]:
    """Return roles, groups, projects and assignments in the form of the policy file (R131).

    Applied to the same store, it changes nothing. Memberships that a directory feeds and limits set on a person
    directly are not part of it. The caller records that it was asked.

    Raises
    ------
    Denied
        The asker may not read access in the system.
    Conflict
        There is more than a policy that is sent may hold; nothing is cut off.
    """
    gate.need_of(tx, actor, gate.permission(tx, "access"))
    conn, a, g, m, r = tx.conn, tables.assignments, tables.groups, tables.memberships, tables.roles
    members: dict[str, list[str]] = {
        name: []
        for name in conn.execute(
            select(g.c.name).where(g.c.provider.is_(None)).order_by(g.c.name).limit(_MOST)
        ).scalars()
    }
    query = select(g.c.name, m.c.member).join(m, m.c.group_id == g.c.id)
    for row in conn.execute(query.where(m.c.provider.is_(None)).order_by(g.c.name, m.c.member).limit(_MOST)):
        members.setdefault(row.name, []).append(row.member)
    custom = {
        row.name: {
            "description": row.description,
            "category": row.category,
            "scopes": row.scopes,
            "permissions": row.permissions,
            "limits": row.limits,
        }
        for row in conn.execute(select(r).order_by(r.c.name).limit(_MOST))
    }
    held = []
    # What mapping rules give comes back by itself, and goes with its rule.
    own = select(a).where(a.c.mapped.is_(False)).order_by(a.c.scope, a.c.role, a.c.identity)
    for row in conn.execute(own.limit(_MOST)):
        one = {"role": row.role, "scope": row.scope, "identity": row.identity}
        one |= {key: value.isoformat() for key, value in (("from", row.starts), ("until", row.ends)) if value}
        held.append(one | ({"reason": row.reason} if row.reason else {}))
    document = {
        "catalog": tx.catalog.name,
        "roles": custom,
        "groups": members,
        "projects": list(
            conn.execute(select(tables.projects.c.name).order_by(tables.projects.c.name).limit(_MOST)).scalars()
        ),
        "assignments": held,
    }
    if not travels(document):
        raise Conflict(
            "there is more here than one policy file may hold, so it could not be applied again",
            remedy="`role list`, `role holders`, `group members` and `project export` show it piece by piece",
        )
    return document
