"""Who joined and left the groups that have a role in a project between two times, read from the change records.

Every membership that was written or deleted has its row there, also those that a directory reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Text, cast, func, select

from aizen_hub.accounts.projects.access_history import MAX_EVENTS
from aizen_hub.authorization import checks
from aizen_hub.problems import BadInput
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log.change_records import ROWS, RowChange, RowOperation
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

MAX_EXAMINED = 100_000
"""Change records of memberships of any group."""
_CLOCK_SKEW = timedelta(minutes=5)
"""The times of change records follow their order, but for transactions that ran at once."""
_audit, _a, _c = tables.audit, tables.assignments, tables.changes


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """The difference of one membership between the two times.

    Attributes
    ----------
    joined : bool
        False: the member left.
    roles : tuple of str
        What the group has in the project now, itself or through the groups it is in.
    provider : str or None
        The directory that reported it.
    by, at : Identity, datetime
        Of the last change; without an identity where a directory reported it.
    """

    joined: bool
    member: Identity
    group: Identity
    roles: tuple[str, ...]
    provider: str | None
    by: Identity | None
    at: datetime


class _Event(NamedTuple):
    """One membership that was written or deleted."""

    joined: bool
    provider: str | None
    audit_id: str
    at: datetime


class _GroupRoles(NamedTuple):
    """The roles of a group in the project, and the time at which the earliest of them was granted."""

    names: tuple[str, ...]
    since: datetime


def membership_changes(tx: ReadTransaction, project: str, since: datetime, until: datetime) -> list[MembershipChange]:
    """Return the differences of the groups that have a role in a project now, since they have it, by group and member.

    The caller has checked that the actor may list the members, and that the records reach back to ``since``. Members
    who were deleted since are left out.

    Raises
    ------
    BadInput
        There are too many changes to compare.
    """
    roles = _roles_of_groups(tx, project)
    if not roles:
        return []
    by_membership: defaultdict[tuple[Identity, Identity], list[_Event]] = defaultdict(list)
    count = 0
    for group, member, event in _read_events(tx, since, until):
        # What happened before a group had a role in the project is not for those who may list its members.
        if group in roles and event.at >= roles[group].since:
            count += 1
            by_membership[group, member].append(event)
        if count > MAX_EVENTS:
            raise _too_many(MAX_EVENTS)
    found: list[tuple[str, MembershipChange]] = []
    for (group, member), events in sorted(by_membership.items(), key=lambda item: (str(item[0][0]), str(item[0][1]))):
        first, last = events[0], events[-1]
        # The first change wrote what was not there before, or deleted what was.
        if first.joined == last.joined:
            change = MembershipChange(last.joined, member, group, roles[group].names, last.provider, None, last.at)
            found.append((last.audit_id, change))
    actors = _read_actors(tx, (audit_id for audit_id, change in found if change.provider is None))
    return [replace(change, by=actors.get(audit_id)) for audit_id, change in found]


def _read_events(tx: ReadTransaction, since: datetime, until: datetime) -> Iterator[tuple[Identity, Identity, _Event]]:
    """Yield each membership that was written or deleted in that time, in order: group, member, event."""
    name = tables.memberships.name
    query = (
        select(_c.c.audit_id, _c.c.at, _c.c.payload)
        .where(
            _c.c.revision >= _first_revision_after(tx, since - _CLOCK_SKEW),
            _c.c.revision < _first_revision_after(tx, until + _CLOCK_SKEW),
            _c.c.at > since,
            _c.c.at <= until,
            # Most records are of other changes, or of sign-ins after which the groups are as they were.
            cast(_c.c.payload, Text).contains(f'"{name}"'),
        )
        .order_by(_c.c.revision)
        .limit(MAX_EXAMINED + 1)
    )
    for number, row in enumerate(tx.conn.execute(query)):
        if number >= MAX_EXAMINED:
            raise _too_many(MAX_EXAMINED)
        for change in (RowChange(*values) for recorded in row.payload for values in recorded.get(ROWS, ())):
            # Who is deleted leaves all groups at once, without their names.
            if change.table == name and change.operation != RowOperation.DELETE_ALL:
                provider, _, group = change.part.partition(":")
                joined = change.operation != RowOperation.DELETE
                event = _Event(joined, provider or None, row.audit_id, row.at)
                yield Identity.group(group), Identity.parse(change.owner), event


def _first_revision_after(tx: ReadTransaction, moment: datetime) -> int:
    """Return the revision from which on all changes were made after a time, by bisection: times have no index."""
    low, last = tx.conn.execute(select(func.min(_c.c.revision), func.max(_c.c.revision))).one()
    if low is None:
        return 0
    high: int = last + 1
    while low < high:
        middle = (low + high) // 2
        query = select(_c.c.revision, _c.c.at).where(_c.c.revision >= middle).order_by(_c.c.revision).limit(1)
        row = tx.conn.execute(query).one()
        if row.at > moment:
            high = middle
        else:
            low = row.revision + 1
    return int(low)


def _read_actors(tx: ReadTransaction, audit_ids: Iterable[str]) -> dict[str, Identity]:
    """Return who made each change, by the id of its audit row."""
    actors: dict[str, Identity] = {}
    for chunk in chunked(sorted(set(audit_ids))):
        for row in tx.conn.execute(select(_audit.c.id, _audit.c.identity).where(_audit.c.id.in_(chunk))):
            if row.identity is not None:
                actors[row.id] = Identity.parse(row.identity)
    return actors


def _too_many(count: int) -> BadInput:
    return BadInput(f"more than {count:,} memberships changed in that time", remedy="choose days that are closer")


def _roles_of_groups(tx: ReadTransaction, project: str) -> dict[Identity, _GroupRoles]:
    """Return the roles of each group in the project: its own, and those of the groups that contain it."""
    query = select(_a.c.identity, _a.c.role, _a.c.granted)
    query = query.where(_a.c.scope == project, _a.c.identity.like("group:%"))
    grants: defaultdict[Identity, dict[str, datetime]] = defaultdict(dict)
    for row in tx.conn.execute(query):
        holder = Identity.parse(row.identity)
        for group in (holder, *checks.transitive_members(tx, [holder])):
            if group.kind is IdentityKind.GROUP:
                grants[group][row.role] = min(row.granted, grants[group].get(row.role, row.granted))
    return {group: _GroupRoles(tuple(sorted(roles)), min(roles.values())) for group, roles in grants.items()}
