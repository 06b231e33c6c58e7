"""The memberships that connect an identity to its groups, directly and through nested groups."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.group_closure import MAX_DEPTH, Membership
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store.raw_sql import fetch_raw, placeholders
from aizen_hub.store.timestamps import from_microseconds

MAX_GROUPS = 1_000
_CHUNK = 500  # parameters per statement
_MEMBERSHIPS = (
    "SELECT m.member, g.name, m.provider, m.seen_at FROM memberships m JOIN groups g ON g.id = m.group_id"
    " WHERE m.member IN ({})"
)
_Item = TypeVar("_Item")

log = logging.getLogger(__name__)


def load_memberships(conn: Connection, identity: Identity, max_age: timedelta) -> list[Membership]:
    """Return every membership on a path from ``identity`` to a group, level by level.

    A directory membership expires ``max_age`` after it was last seen, and is ignored if it never was (R63). Cycles are
    harmless; groups deeper than `rbac.group_closure.MAX_DEPTH` or beyond `MAX_GROUPS` are ignored (R20).
    """
    result: list[Membership] = []
    visited = {identity}
    frontier = [identity]
    for _ in range(MAX_DEPTH):
        level: dict[Identity, None] = {}
        for chunk in chunked(frontier):
            query = _MEMBERSHIPS.format(placeholders(chunk))
            for member, name, provider, seen_at in fetch_raw(conn, query, [str(member) for member in chunk]):
                if provider is None:
                    interval = ALWAYS
                elif seen_at is not None:
                    interval = Interval(ends=from_microseconds(seen_at) + max_age)
                else:
                    continue
                group = Identity(IdentityKind.GROUP, name)
                result.append(Membership(Identity.parse(member), group, interval))
                level[group] = None
        frontier = [group for group in level if group not in visited]
        if not frontier:
            return result
        visited.update(frontier)
        if len(visited) > MAX_GROUPS:
            break
    log.warning("the groups of an identity are nested too deep or too many; groups beyond the limit are ignored")
    return result


def chunked(items: Sequence[_Item], size: int = _CHUNK) -> Iterator[Sequence[_Item]]:
    """Split a list of parameters into parts that every database accepts in one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
