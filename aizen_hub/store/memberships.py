"""The memberships through which an identity is in groups: what `rbac.reach` makes chains of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection, select

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.reach import MAX_DEPTH, Membership
from aizen_hub.store import tables

MAX_GROUPS = 1_000
_CHUNK = 500  # parameters in one statement
_Item = TypeVar("_Item")

log = logging.getLogger(__name__)


def memberships(conn: Connection, identity: Identity, max_age: timedelta) -> list[Membership]:
    """Return every membership on a way from ``identity`` to a group, level by level.

    A directory's membership ends ``max_age`` after it was last seen, and is nothing if it never was (R63). Cycles are
    harmless; what lies deeper than `rbac.reach.MAX_DEPTH` or beyond `MAX_GROUPS` gives nothing (R20).
    """
    groups, member = tables.groups.c, tables.memberships.c
    query = select(member.member, groups.name, member.provider, member.seen_at).join_from(
        tables.memberships, tables.groups, member.group_id == groups.id
    )
    found: list[Membership] = []
    known = {identity}
    frontier = [identity]
    for _ in range(MAX_DEPTH):
        reached: dict[Identity, None] = {}
        for chunk in chunks(frontier):
            for row in conn.execute(query.where(member.member.in_([str(one) for one in chunk]))):
                if row.provider is None:
                    interval = ALWAYS
                elif row.seen_at is not None:
                    interval = Interval(ends=row.seen_at + max_age)
                else:
                    continue
                group = Identity(Kind.GROUP, row.name)
                found.append(Membership(Identity.parse(row.member), group, interval))
                reached[group] = None
        frontier = [group for group in reached if group not in known]
        if not frontier:
            return found
        known.update(frontier)
        if len(known) > MAX_GROUPS:
            break
    log.warning("the groups of one identity are nested too deep or too many; what lies beyond gives nothing")
    return found


def chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Cut a list of parameters into parts that every database takes in one statement."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
