"""The memberships through which an identity is in groups: what `rbac.reach` makes chains of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.group_closure import MAX_DEPTH, Membership
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store.raw_sql import fetch, places
from aizen_hub.store.timestamps import from_microseconds

MAX_GROUPS = 1_000
_CHUNK = 500  # parameters in one statement
_MEMBERSHIPS = (
    "SELECT m.member, g.name, m.provider, m.seen_at FROM memberships m JOIN groups g ON g.id = m.group_id"
    " WHERE m.member IN ({})"
)
_Item = TypeVar("_Item")

log = logging.getLogger(__name__)


def memberships(conn: Connection, identity: Identity, max_age: timedelta) -> list[Membership]:
    """Return every membership on a way from ``identity`` to a group, level by level.

    A directory's membership ends ``max_age`` after it was last seen, and is nothing if it never was (R63). Cycles are
    harmless; what lies deeper than `rbac.reach.MAX_DEPTH` or beyond `MAX_GROUPS` gives nothing (R20).
    """
    found: list[Membership] = []
    known = {identity}
    frontier = [identity]
    for _ in range(MAX_DEPTH):
        reached: dict[Identity, None] = {}
        for chunk in chunks(frontier):
            query = _MEMBERSHIPS.format(places(chunk))
            for held, name, provider, seen_at in fetch(conn, query, [str(one) for one in chunk]):
                if provider is None:
                    interval = ALWAYS
                elif seen_at is not None:
                    interval = Interval(ends=from_microseconds(seen_at) + max_age)
                else:
                    continue
                group = Identity(Kind.GROUP, name)
                found.append(Membership(Identity.parse(held), group, interval))
                reached[group] = None
        frontier = [group for group in reached if group not in known]
        if not frontier:
            return found
        known.update(frontier)
        if len(known) > MAX_GROUPS:
            break
    log.warning("the groups of one identity are nested too deep or too many; what lies beyond gives nothing")
    return found


def chunks(items: Sequence[_Item], size: int = _CHUNK) -> Iterator[Sequence[_Item]]:
    """Cut a list of parameters into parts that every database takes in one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
