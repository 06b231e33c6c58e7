"""Which groups an identity is in, by which way, and for how long."""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, select

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store import tables

MAX_DEPTH = 16
MAX_GROUPS = 1_000
_CHUNK = 500  # parameters in one statement
_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_Item = TypeVar("_Item")

log = logging.getLogger(__name__)


class Path(NamedTuple):
    """The way to a group: the groups passed, the group itself last, and while that way holds."""

    via: tuple[Identity, ...]
    interval: Interval


def paths(conn: Connection, identity: Identity, max_age: timedelta) -> Mapping[Identity, Path]:
    """Return every group that ``identity`` is in, directly or through groups, with the way that holds longest.

    A directory membership ends ``max_age`` after it was last seen (R63). All ways are open at their beginning, so of
    two the one with the later end holds whenever the other does, and one way per group is enough. Cycles are harmless;
    what lies deeper than `MAX_DEPTH` or beyond `MAX_GROUPS` gives nothing (R20).
    """
    edges = _edges(conn, identity, max_age)
    best: dict[Identity, Path] = {}
    order = count()
    queue: list[tuple[float, int, int, Identity, tuple[Identity, ...], datetime]] = []

    def push(member: Identity, via: tuple[Identity, ...], until: datetime) -> None:
        for group, end in edges.get(str(member), ()):
            if group not in best and group != identity and len(via) < MAX_DEPTH:
                reached = min(until, end)
                heapq.heappush(queue, (-reached.timestamp(), len(via), next(order), group, (*via, group), reached))

    push(identity, (), _FOR_EVER)
    while queue:
        _, _, _, group, via, until = heapq.heappop(queue)
        if group in best:
            continue
        best[group] = Path(via, ALWAYS if until == _FOR_EVER else Interval(ends=until))
        push(group, via, until)
    return best


def _edges(conn: Connection, identity: Identity, max_age: timedelta) -> Mapping[str, list[tuple[Identity, datetime]]]:
    groups, memberships = tables.groups.c, tables.memberships.c
    query = select(memberships.member, groups.name, memberships.provider, memberships.seen_at).join_from(
        tables.memberships, tables.groups, memberships.group_id == groups.id
    )
    edges: defaultdict[str, list[tuple[Identity, datetime]]] = defaultdict(list)
    known = {str(identity)}
    frontier = [str(identity)]
    for _ in range(MAX_DEPTH):
        reached: dict[str, None] = {}
        for chunk in chunks(frontier):
            for row in conn.execute(query.where(memberships.member.in_(chunk))):
                group = Identity(Kind.GROUP, row.name)
                if row.provider is None:
                    edges[row.member].append((group, _FOR_EVER))
                elif row.seen_at is not None:
                    edges[row.member].append((group, row.seen_at + max_age))
                reached[str(group)] = None
        frontier = [name for name in reached if name not in known]
        known.update(frontier)
        if not frontier:
            return edges
        if len(known) > MAX_GROUPS:
            break
    log.warning("the groups of one identity are nested too deep or too many; what lies beyond gives nothing")
    return edges


def chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
