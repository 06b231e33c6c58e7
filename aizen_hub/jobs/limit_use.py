"""The limits of a user, each with what is in use where that is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aizen_hub.accounts.roles import limits
from aizen_hub.jobs import quota
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store.transaction import ReadTransaction

_LABELS = {
    LimitKind.PROJECTS: "Projects created",
    LimitKind.JOBS: "Jobs at once",
    LimitKind.MEMORY: "Memory of each server",
    LimitKind.CPU: "Cores of each server",
}


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit.

    Attributes
    ----------
    label : str
        What is limited, in words.
    source : str
        What sets it.
    used : int or None
        None where nothing is used up: memory and cores are given to each server anew.
    """

    kind: str
    label: str
    value: float
    source: str
    used: int | None


def read_limits(tx: ReadTransaction, identity: Identity, scope: str) -> list[LimitUse]:
    """Return the limits that bind an identity in a scope."""
    return read_limits_by_scope(tx, identity, [scope])[scope]


def read_limits_by_scope(tx: ReadTransaction, identity: Identity, scopes: Iterable[str]) -> dict[str, list[LimitUse]]:
    """Return the limits that bind an identity, by scope."""
    jobs = quota.count_jobs_by_project(tx, identity)
    return {
        scope: [
            LimitUse(kind.value, _LABELS[kind], bound.value, bound.source, _used(tx, identity, kind, bound.scope, jobs))
            for kind, bound in sorted(limits.limits_of(tx, identity, scope).items())
        ]
        for scope in scopes
    }


def _used(tx: ReadTransaction, identity: Identity, kind: LimitKind, scope: str, jobs: dict[str, int]) -> int | None:
    if kind is LimitKind.JOBS:
        # A limit of the whole system counts the jobs in all projects, also where a project shows it.
        return sum(jobs.values()) if scope == SYSTEM else jobs.get(scope, 0)
    return limits.count_created_projects(tx, identity) if kind is LimitKind.PROJECTS else None
