"""The limits of a user in one scope, each with what is in use where that is counted."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.accounts.roles import limits
from aizen_hub.jobs import quota
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store.transaction import ReadTransaction


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit.

    Attributes
    ----------
    source : str
        What sets it.
    used : int or None
        None for what is not counted here, such as memory.
    """

    kind: str
    value: float
    source: str
    used: int | None


def read_limits(tx: ReadTransaction, identity: Identity, scope: str) -> list[LimitUse]:
    """Return the limits that bind an identity in a scope."""
    counts = {
        LimitKind.JOBS: lambda: quota.count_jobs(tx, identity, None if scope == SYSTEM else scope),
        LimitKind.PROJECTS: lambda: limits.count_created_projects(tx, identity),
    }
    return [
        LimitUse(kind.value, bound.value, bound.source, counts[kind]() if kind in counts else None)
        for kind, bound in sorted(limits.limits_of(tx, identity, scope).items())
    ]
