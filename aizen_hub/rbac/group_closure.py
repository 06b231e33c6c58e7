"""Groups: which ones an identity reaches, through which others, and how long each chain holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity

MAX_DEPTH = 16
"""Groups beyond so many steps of nesting give nothing."""


@dataclass(frozen=True, slots=True)
class Membership:
    """``member`` is in ``group`` during ``interval``.

    A membership that a directory reported ends ``group_max_age`` after it was last seen (R63).
    """

    member: Identity
    group: Identity
    interval: Interval = ALWAYS


@dataclass(frozen=True, slots=True)
class Chain:
    """One way from an identity to a group: the groups passed, the one reached last."""

    groups: tuple[Identity, ...]
    interval: Interval = ALWAYS


def reach(identity: Identity, memberships: Iterable[Membership], *, max_depth: int = MAX_DEPTH) -> tuple[Chain, ...]:
    """Return the chains to every group that ``identity`` is in, shortest first; cycles are harmless.

    Of several chains to one group only those are kept that hold at some time when no shorter one does, so the number of
    chains does not grow with the number of paths through the graph.
    """
    groups_of: defaultdict[Identity, list[Membership]] = defaultdict(list)
    for membership in memberships:
        groups_of[membership.member].append(membership)
    here = Chain(())
    kept: defaultdict[Identity, list[Chain]] = defaultdict(list, {identity: [here]})
    ends = [here]
    for _ in range(max_depth):
        found: list[Chain] = []
        for chain in ends:
            for step in sorted(groups_of[chain.groups[-1] if chain.groups else identity], key=lambda one: one.group):
                interval = chain.interval.meet(step.interval)
                if interval is None or any(shorter.interval.contains(interval) for shorter in kept[step.group]):
                    continue
                longer = Chain((*chain.groups, step.group), interval)
                kept[step.group].append(longer)
                found.append(longer)
        ends = found
    found_all = (chain for chains in kept.values() for chain in chains if chain.groups)
    return tuple(sorted(found_all, key=lambda one: len(one.groups)))
