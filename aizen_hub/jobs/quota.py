"""Running jobs, counted in the database, so that job limits hold across all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_project_subscribers, alert_user
from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import Conflict, LimitReached
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.limit import EffectiveLimit
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

ALL_JOBS = "all"
"""The name in ``stop all``."""

_j = tables.jobs
_DONE = "done"


def start_job(
    tx: WriteTransaction,
    *,
    decision_id: str,
    identity: Identity,
    project: str,
    session: str | None,
    command: str,
    key: str,
) -> None:
    """Count a job that is about to start.

    A system-wide limit counts the jobs of the identity in all projects, a project limit those in the project.

    Parameters
    ----------
    decision_id : str
        Id of the decision that allowed it.
    command : str
        Canonical text, for listings.
    key : str
        Noun and name, e.g. ``training churn``: what ``stop …`` refers to.

    Raises
    ------
    LimitReached
        With the limit, the number of running jobs, and the source of the limit.
    Conflict
        This decision has already started its job (R82).
    """
    if tx.conn.execute(select(_j.c.decision_id).where(_j.c.decision_id == decision_id)).first() is not None:
        raise Conflict("this decision has already started its job")
    user = job_user(identity)
    for limit in _job_limits(tx, identity, project):
        used = count_jobs(tx, identity, None if limit.scope == SYSTEM else project)
        if used + 1 > limit.value:
            raise LimitReached(
                f"`{identity.name}` may run {limit.value:g} jobs and runs {used}: the limit is set by {limit.source}",
                remedy="wait for one to end, or stop one",
                extensions={"limit": LimitKind.JOBS.value, "value": limit.value, "used": used, "source": limit.source},
            )
    values = {
        "user": user,
        "project": project,
        "session": session,
        "acting": None if tx.actor.acting is None else str(tx.actor.acting),
    }
    tx.conn.execute(
        insert(_j).values(decision_id=decision_id, command=command, key=key[:255], started=tx.now, **values)
    )
    tx.record_change(
        "job",
        {
            "job": decision_id,
            "did": "start",
            **change_records.change_payload(change_records.row_written(_j, decision_id, values)),
        },
        [],
    )
    tx.audit("job.started", project=project, details={"job": decision_id, "key": key[:255]})


def end_job(tx: WriteTransaction, decision_id: str, outcome: str, reason: str = "") -> bool:
    """End a job and alert its subscribers; return whether it was running. Idempotent: the first outcome stays.

    Parameters
    ----------
    outcome : {"done", "failed", "stopped", "unknown"}
    """
    row = tx.conn.execute(select(_j).where(_j.c.decision_id == decision_id, _j.c.ended.is_(None))).first()
    if row is None:
        return False
    tx.conn.execute(update(_j).where(_j.c.decision_id == decision_id).values(ended=tx.now, outcome=outcome[:20]))
    wrote = change_records.change_payload(change_records.row_deleted(_j, decision_id))
    tx.record_change("job", {"job": decision_id, "did": "end", "outcome": outcome[:20], **wrote}, [])
    tx.audit("job.ended", project=row.project, details={"job": decision_id, "outcome": outcome[:20]})
    event = AlertEvent.JOB_DONE if outcome == _DONE else AlertEvent.JOB_FAILED
    payload = {
        "command": row.command,
        "scope": row.project,
        "by": row.user,
        "outcome": outcome,
        "reason": reason[:500],
        "at": to_json_value(tx.now),
    }
    service = row.key.partition(" ")[0]
    alert_project_subscribers(tx, row.project, service, event, payload, deduplication_key=f"{decision_id}/{event}")
    alert_user(tx, row.user, event, payload, deduplication_key=f"{decision_id}/{event}")
    return True


def end_named_jobs(tx: WriteTransaction, project: str, key: str, outcome: str = "stopped") -> int:
    """End the jobs that a successful ``stop …`` named; return how many there were."""
    rows = running_jobs(tx, project, None if key.partition(" ")[0] == ALL_JOBS else key)
    return sum(end_job(tx, row.decision_id, outcome) for row in rows)


def running_jobs(tx: ReadTransaction, project: str, key: str | None = None) -> Sequence[Any]:
    """Return the running jobs of a project, all or those with a key, oldest first."""
    query = select(_j).where(_j.c.project == project, _j.c.ended.is_(None)).order_by(_j.c.started)
    if key is not None:
        query = query.where(_j.c.key == key)
    return tx.conn.execute(query).all()


def count_jobs(tx: ReadTransaction, identity: Identity, project: str | None) -> int:
    """Return how many jobs of an identity are running, in one project or in all."""
    query = select(func.count()).select_from(_j).where(_j.c.user == job_user(identity), _j.c.ended.is_(None))
    if project is not None:
        query = query.where(_j.c.project == project)
    return tx.conn.execute(query).scalar_one()


def count_jobs_by_project(tx: ReadTransaction, identity: Identity) -> dict[str, int]:
    """Return how many jobs of an identity are running, by project."""
    query = select(_j.c.project, func.count()).where(_j.c.user == job_user(identity), _j.c.ended.is_(None))
    return dict(tx.conn.execute(query.group_by(_j.c.project)).all())


def job_user(identity: Identity) -> str:
    """Return the table's ``user`` value: the bare name of a user, which has no colon, else ``kind:name``."""
    return identity.name if identity.kind is IdentityKind.USER else str(identity)


def _job_limits(tx: ReadTransaction, identity: Identity, project: str) -> list[EffectiveLimit]:
    strictest: dict[bool, EffectiveLimit] = {}
    for limit in tx.rights(identity).limits:
        if limit.kind is LimitKind.JOBS and limit.scope in (SYSTEM, project) and limit.interval.includes(tx.now):
            previous = strictest.get(limit.scope == SYSTEM)
            if previous is None or limit.value < previous.value:
                strictest[limit.scope == SYSTEM] = limit
    return sorted(strictest.values(), key=lambda limit: limit.value)
