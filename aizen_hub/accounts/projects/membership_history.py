"""Who joined and left the groups that have a role in a project between two times, read from the audit.

Memberships that a directory reports are not in the audit one by one, and are not compared.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.projects.access_history import MAX_EVENTS
from aizen_hub.audit.search import row_to_json
from aizen_hub.authorization import checks
from aizen_hub.problems import BadInput
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_ADDED, _REMOVED = "group.member-added", "group.member-removed"
_audit, _a = tables.audit, tables.assignments


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """The difference of one membership between the two times.

    Attributes
    ----------
    joined : bool
        False: the member left.
    roles : tuple of str
        What the group has in the project now, itself or through the groups it is in.
    by, at : Identity, datetime
        Of the last change.
    """

    joined: bool
    member: Identity
    group: Identity
    roles: tuple[str, ...]
    by: Identity | None
    at: datetime


def membership_changes(tx: ReadTransaction, project: str, since: datetime, until: datetime) -> list[MembershipChange]:
    """Return the differences of the groups that have a role in a project now, by group and member.

    The caller has checked that the actor may list the members, and that the audit reaches back to ``since``.

    Raises
    ------
    BadInput
        There are too many changes to compare.
    """
    roles = _roles_of_groups(tx, project)
    if not roles:
        return []
    query = select(_audit).where(_audit.c.at > since, _audit.c.at <= until, _audit.c.event.in_((_ADDED, _REMOVED)))
    rows = tx.conn.execute(query.limit(MAX_EVENTS + 1)).all()
    if len(rows) > MAX_EVENTS:
        raise BadInput(
            f"more than {MAX_EVENTS:,} memberships changed in that time", remedy="choose days that are closer"
        )
    events = [(row.at, row_to_json(row)) for row in rows]
    events.sort(key=lambda event: (event[1].get("revision") or 0, event[0]))
    by_membership: defaultdict[tuple[Identity, Identity], list[tuple[datetime, dict[str, Any]]]] = defaultdict(list)
    for at, event in events:
        group = Identity.group(event["details"]["group"])
        if group in roles:
            by_membership[group, Identity.parse(event["details"]["member"])].append((at, event))
    changes = []
    for (group, member), found in sorted(by_membership.items(), key=lambda item: (str(item[0][0]), str(item[0][1]))):
        existed, exists = found[0][1]["event"] == _REMOVED, found[-1][1]["event"] == _ADDED
        if existed != exists:
            at, last = found[-1]
            by = last.get("identity")
            changes.append(
                MembershipChange(exists, member, group, roles[group], None if by is None else Identity.parse(by), at)
            )
    return changes


def _roles_of_groups(tx: ReadTransaction, project: str) -> dict[Identity, tuple[str, ...]]:
    """Return the roles of each group in the project: its own, and those of the groups that contain it."""
    query = select(_a.c.identity, _a.c.role).where(_a.c.scope == project, _a.c.identity.like("group:%"))
    roles: defaultdict[Identity, set[str]] = defaultdict(set)
    for row in tx.conn.execute(query):
        holder = Identity.parse(row.identity)
        for group in (holder, *checks.transitive_members(tx, [holder])):
            if group.kind is IdentityKind.GROUP:
                roles[group].add(row.role)
    return {group: tuple(sorted(names)) for group, names in roles.items()}
