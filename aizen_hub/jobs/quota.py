"""Running jobs, counted in the database, so that the limit holds on every replica (issue 3, item 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from aizen_hub.alerts.message import Event
from aizen_hub.alerts.outbox import tell_project, tell_user
from aizen_hub.commands.result import plain
from aizen_hub.problems import Conflict, LimitReached
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.limit import Limited
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

EVERYTHING = "all"
"""What ``stop all`` names."""

_j = tables.jobs
_DONE = "done"


def start(
    tx: Write, *, decision_id: str, identity: Identity, project: str, session: str | None, command: str, key: str
) -> None:
    """Count a job that is about to start.

    A limit that comes from the system counts the person's jobs in all projects, one of the project those in it.

    Parameters
    ----------
    decision_id : str
        Id of the decision that allowed it, the core's idempotency key.
    command : str
        Canonical text, for the listing.
    key : str
        Noun and name, e.g. ``training churn``: what ``stop …`` names.

    Raises
    ------
    LimitReached
        Names the limit, how many run, and where the limit comes from.
    Conflict
        This decision has started its job already (R82).
    """
    if tx.conn.execute(select(_j.c.decision_id).where(_j.c.decision_id == decision_id)).first() is not None:
        raise Conflict("this decision has started its job already")
    who = holder(identity)
    for bound in _bounds(tx, identity, project):
        used = count(tx, identity, None if bound.scope == SYSTEM else project)
        if used + 1 > bound.value:
            raise LimitReached(
                f"`{identity.name}` may run {bound.value:g} jobs and runs {used}: the limit is of {bound.source}",
                remedy="wait for one to end, or stop one",
                more={"limit": LimitKind.JOBS.value, "value": bound.value, "used": used, "source": bound.source},
            )
    values = {
        "user": who,
        "project": project,
        "session": session,
        "acting": None if tx.actor.acting is None else str(tx.actor.acting),
    }
    tx.conn.execute(
        insert(_j).values(decision_id=decision_id, command=command, key=key[:255], started=tx.now, **values)
    )
    tx.change("job", {"job": decision_id, "did": "start", **recorded.rows(recorded.put(_j, decision_id, values))}, [])
    tx.audit("job.started", project=project, details={"job": decision_id, "key": key[:255]})


def end(tx: Write, decision_id: str, outcome: str, reason: str = "") -> bool:
    """Take a job off the count; tell whether it was running. Doing it twice is harmless, the first outcome stays.

    Parameters
    ----------
    outcome : {"done", "failed", "stopped", "unknown"}
    """
    row = tx.conn.execute(select(_j).where(_j.c.decision_id == decision_id, _j.c.ended.is_(None))).first()
    if row is None:
        return False
    tx.conn.execute(update(_j).where(_j.c.decision_id == decision_id).values(ended=tx.now, outcome=outcome[:20]))
    wrote = recorded.rows(recorded.gone(_j, decision_id))
    tx.change("job", {"job": decision_id, "did": "end", "outcome": outcome[:20], **wrote}, [])
    tx.audit("job.ended", project=row.project, details={"job": decision_id, "outcome": outcome[:20]})
    event = Event.JOB_DONE if outcome == _DONE else Event.JOB_FAILED
    payload = {
        "command": row.command,
        "scope": row.project,
        "by": row.user,
        "outcome": outcome,
        "reason": reason[:500],
        "at": plain(tx.now),
    }
    service = row.key.partition(" ")[0]
    tell_project(tx, row.project, service, event, payload, once=f"{decision_id}/{event}")
    tell_user(tx, row.user, event, payload, once=f"{decision_id}/{event}")
    return True


def end_named(tx: Write, project: str, key: str, outcome: str = "stopped") -> int:
    """Take the jobs that a successful ``stop …`` named off the count; return how many there were."""
    rows = running(tx, project, None if key.partition(" ")[0] == EVERYTHING else key)
    return sum(end(tx, row.decision_id, outcome) for row in rows)


def running(tx: Read, project: str, key: str | None = None) -> Sequence[Any]:
    """Return the running jobs of a project, all or those of one key, the oldest first."""
    query = select(_j).where(_j.c.project == project, _j.c.ended.is_(None)).order_by(_j.c.started)
    if key is not None:
        query = query.where(_j.c.key == key)
    return tx.conn.execute(query).all()


def count(tx: Read, identity: Identity, project: str | None) -> int:
    """Return how many jobs of an identity run, in one project or in all."""
    query = select(func.count()).select_from(_j).where(_j.c.user == holder(identity), _j.c.ended.is_(None))
    if project is not None:
        query = query.where(_j.c.project == project)
    return tx.conn.execute(query).scalar_one()


def holder(identity: Identity) -> str:
    """Return how the table names an identity: a user by the bare name, which cannot hold a colon."""
    return identity.name if identity.kind is Kind.USER else str(identity)


def _bounds(tx: Read, identity: Identity, project: str) -> list[Limited]:
    strictest: dict[bool, Limited] = {}
    for one in tx.rights(identity).limits:
        if one.kind is LimitKind.JOBS and one.scope in (SYSTEM, project) and one.interval.holds(tx.now):
            known = strictest.get(one.scope == SYSTEM)
            if known is None or one.value < known.value:
                strictest[one.scope == SYSTEM] = one
    return sorted(strictest.values(), key=lambda one: one.value)
