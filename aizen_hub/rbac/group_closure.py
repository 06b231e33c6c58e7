"""Transitive group membership: the groups of an identity, with the path to each and its time interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity

MAX_DEPTH = 16
"""Groups that are nested deeper than this are ignored."""


@dataclass(frozen=True, slots=True)
class Membership:
    """``member`` is in ``group`` during ``interval``.

    A membership that a directory reported ends ``group_max_age`` after it was last seen (R63).
    """

    member: Identity
    group: Identity
    interval: Interval = ALWAYS


@dataclass(frozen=True, slots=True)
class MembershipPath:
    """A path from an identity to a group: the groups on the path, ending with that group."""

    groups: tuple[Identity, ...]
    interval: Interval = ALWAYS


def group_closure(
    identity: Identity, memberships: Iterable[Membership], *, max_depth: int = MAX_DEPTH
) -> tuple[MembershipPath, ...]:
    """Return the paths to every group that ``identity`` is in, shortest first; cycles are harmless.

    Of several paths to one group, only those are kept that are valid at some time when no shorter one is, so that the
    result does not grow with the number of paths through the graph.
    """
    groups_of: defaultdict[Identity, list[Membership]] = defaultdict(list)
    for membership in memberships:
        groups_of[membership.member].append(membership)
    start = MembershipPath(())
    paths_to: defaultdict[Identity, list[MembershipPath]] = defaultdict(list, {identity: [start]})
    frontier = [start]
    for _ in range(max_depth):
        next_frontier: list[MembershipPath] = []
        for path in frontier:
            for membership in sorted(
                groups_of[path.groups[-1] if path.groups else identity], key=lambda step: step.group
            ):
                interval = path.interval.intersect(membership.interval)
                if interval is None or any(
                    shorter.interval.contains(interval) for shorter in paths_to[membership.group]
                ):
                    continue
                extended = MembershipPath((*path.groups, membership.group), interval)
                paths_to[membership.group].append(extended)
                next_frontier.append(extended)
        frontier = next_frontier
    all_paths = (chain for group_paths in paths_to.values() for chain in group_paths if chain.groups)
    return tuple(sorted(all_paths, key=lambda path: len(path.groups)))
