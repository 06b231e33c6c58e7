"""Limits with what is in use of them where that is counted: of one identity, and those that are set in a project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from aizen_hub.accounts.roles import limits
from aizen_hub.jobs import quota
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
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


@dataclass(frozen=True, slots=True)
class SetLimit:
    """A limit that is set on one identity in a project; roles and groups may set a stricter one.

    Attributes
    ----------
    used : int or None
        None where nothing is counted: memory and cores are given to each server anew, and a group uses nothing itself.
    """

    identity: str
    kind: str
    value: float
    used: int | None


def read_set_limits(tx: ReadTransaction, project: str, limit: int) -> list[SetLimit]:
    """Return the first limits that are set in a project, by identity, with the jobs of each that run there now."""
    table, jobs = tables.scope_limits, tables.jobs
    query = select(table).where(table.c.scope == project).order_by(table.c.identity, table.c.kind).limit(limit)
    rows = tx.conn.execute(query).all()
    counted = {row.identity: quota.job_user(Identity.parse(row.identity)) for row in rows if _counts_jobs(row)}
    of_these = (jobs.c.project == project, jobs.c.ended.is_(None), jobs.c.user.in_(sorted(counted.values())))
    running: dict[str, int] = dict(
        tx.conn.execute(select(jobs.c.user, func.count()).where(*of_these).group_by(jobs.c.user)).all()
    )
    return [
        SetLimit(
            row.identity, row.kind, row.value, running.get(counted[row.identity], 0) if _counts_jobs(row) else None
        )
        for row in rows
    ]


def _counts_jobs(row: Any) -> bool:
    return bool(row.kind == LimitKind.JOBS) and Identity.parse(row.identity).kind is not IdentityKind.GROUP


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
