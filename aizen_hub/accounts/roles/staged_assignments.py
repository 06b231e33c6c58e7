"""Many assignments changed at once: staged in batches without effect, put in effect by one short transaction.

A transaction that changed thousands of assignments would hold the write lock for seconds, and with it the decisions of
everyone else. An operation therefore *stages* its changes in bounded batches: rows that `tables.assignments` does not
show (`IN_EFFECT`). `record_effect` then belongs to the transaction that sets the operation's effect to ``applied``, and
all of its changes are in effect at that revision, or none. Afterwards `finalize_changes` makes ordinary rows of them
and writes what each change of an assignment writes: its audit row, its alerts, and the decision of requests for the
same role.

The change records say at each step what the tables hold: the rows are recorded when they are staged, and count in the
comparison of the store with its history (T-38) from the revision on that put them in effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts.roles import assignment_alerts, request_settlement
from aizen_hub.accounts.roles.assignments import former_times, interval_to_json
from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.store.timestamps import to_microseconds

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

MAX_NAMED = 2_000
"""Up to so many identities are named in the change record; for more, all compiled rights are compiled again."""
_rows = tables.assignment_rows
AssignmentKey = tuple[str, str, str]
"""Role, scope and identity."""


@dataclass(frozen=True, slots=True)
class AssignmentChange:
    """One assignment that is granted, revoked, or gets another interval.

    Attributes
    ----------
    pointer : str
        Where the change was requested, for messages.
    present : int or None
        Id of the row that it replaces or removes.
    before, after : Interval or None
        None: not assigned.
    """

    pointer: str
    role: str
    scope: str
    identity: Identity
    present: int | None
    before: Interval | None
    after: Interval | None
    reason: str = ""
    creator: bool = False
    mapped: bool = False

    @property
    def key(self) -> AssignmentKey:
        return self.role, self.scope, str(self.identity)

    @property
    def step(self) -> str:
        """The change as a short sentence."""
        verb, preposition = ("grant", "to") if self.after is not None else ("revoke", "from")
        return f"{verb} {self.role} in {self.scope} {preposition} {self.identity}"


class StalePlanError(Exception):
    """Others changed the same access since the plan was made, which has to be made again."""


def stage_changes(tx: WriteTransaction, operation_id: str, changes: Sequence[AssignmentChange]) -> None:
    """Stage changes that were authorized; they have no effect yet.

    Raises
    ------
    StalePlanError
    """
    grants = [change for change in changes if change.after is not None]
    removed = [change for change in changes if change.present is not None]
    if grants:
        tx.conn.execute(
            insert(_rows),
            [
                {
                    "role": change.role,
                    "scope": change.scope,
                    "identity": str(change.identity),
                    "starts": None if change.after is None else change.after.starts,
                    "ends": None if change.after is None else change.after.ends,
                    "reason": change.reason,
                    "granted_by": str(tx.actor.identity),
                    "granted": tx.now,
                    "creator": False,
                    "mapped": False,
                    "revision": tx.revision + 1,
                    "staged_by": operation_id,
                }
                for change in grants
            ],
        )
    if removed:
        marked = tx.conn.execute(
            update(_rows)
            .where(
                _rows.c.id.in_([change.present for change in removed]),
                _rows.c.staged_by.is_(None),
                _rows.c.removed_by.is_(None),
            )
            .values(removed_by=operation_id)
        )
        if marked.rowcount != len(removed):
            raise StalePlanError
    payload = {
        "operation": operation_id,
        "removed": [change.key for change in removed],
        "added": [(*change.key, *_microseconds(change.after or ALWAYS)) for change in grants],
    }
    tx.record_change("stage", payload, [])
    tx.audit(
        "assignments.staged",
        details={"operation": operation_id, "granted": len(grants), "revoked": len(changes) - len(grants)},
    )


def discard_changes(tx: WriteTransaction, operation_id: str, limit: int) -> int:
    """Remove up to ``limit`` staged changes of an operation that never takes effect; returns how many.

    The first call records that none of them will.
    """
    staged = tx.conn.execute(select(_rows.c.id).where(_rows.c.staged_by == operation_id).limit(limit)).scalars().all()
    tx.conn.execute(delete(_rows).where(_rows.c.id.in_(staged)))
    marked = select(_rows.c.id).where(_rows.c.removed_by == operation_id).limit(limit - len(staged))
    kept = tx.conn.execute(marked).scalars().all()
    tx.conn.execute(update(_rows).where(_rows.c.id.in_(kept)).values(removed_by=None))
    if done := len(staged) + len(kept):
        tx.record_change("discard", {"operation": operation_id}, [])
        tx.audit("assignments.discarded", details={"operation": operation_id, "changes": done})
    return done


def record_effect(tx: WriteTransaction, operation_id: str, changes: Sequence[AssignmentChange]) -> None:
    """Record that the staged changes are in effect from this transaction on, which sets the operation's effect."""
    names = {str(change.identity) for change in changes}
    tx.record_change("apply", {"operation": operation_id}, sorted(names) if len(names) <= MAX_NAMED else ["*"])
    # A file exported before this change is stale (T-48).
    p, scopes = tables.projects, sorted({change.scope for change in changes} - {SYSTEM})
    for chunk in chunked(scopes):
        tx.conn.execute(update(p).where(p.c.name.in_(chunk)).values(version=tx.revision))
    granted = sum(change.after is not None for change in changes)
    details = {"operation": operation_id, "granted": granted, "revoked": len(changes) - granted}
    tx.audit("assignments.applied", details=details)


def finalize_changes(tx: WriteTransaction, operation_id: str, limit: int) -> int:
    """Make ordinary rows of up to ``limit`` changes that are in effect, each with its audit row; returns how many."""
    query = select(_rows).where(_rows.c.staged_by == operation_id).order_by(_rows.c.id).limit(limit)
    granted = tx.conn.execute(query).all()
    if granted:
        _finalize_grants(tx, operation_id, granted)
        return len(granted)
    query = select(_rows).where(_rows.c.removed_by == operation_id).order_by(_rows.c.id).limit(limit)
    revoked = tx.conn.execute(query).all()
    tx.conn.execute(delete(_rows).where(_rows.c.id.in_([row.id for row in revoked])))
    for row in revoked:
        holder = Identity.parse(row.identity)
        payload = {"assignment": row.id, "role": row.role, "scope": row.scope, "identity": row.identity}
        details = {**payload, "operation": operation_id}
        tx.audit("role.revoked", project=project_of(row.scope), target=row.identity, details=details)
        assignment_alerts.alert_of_revocation(tx, row.role, row.scope, holder, "")
    return len(revoked)


def _finalize_grants(tx: WriteTransaction, operation_id: str, granted: Sequence[Any]) -> None:
    replaced = select(_rows).where(
        _rows.c.removed_by == operation_id, _rows.c.identity.in_(sorted({row.identity for row in granted}))
    )
    before = {(row.role, row.scope, row.identity): row for row in tx.conn.execute(replaced)}
    former = [before.get((row.role, row.scope, row.identity)) for row in granted]
    tx.conn.execute(delete(_rows).where(_rows.c.id.in_([row.id for row in former if row is not None])))
    tx.conn.execute(update(_rows).where(_rows.c.id.in_([row.id for row in granted])).values(staged_by=None))
    any_request = request_settlement.count_pending_requests(tx) > 0
    for row, old in zip(granted, former, strict=True):
        grantee, interval = Identity.parse(row.identity), Interval(row.starts, row.ends)
        payload: Mapping[str, Any] = {
            "assignment": row.id,
            "role": row.role,
            "scope": row.scope,
            "identity": row.identity,
            "reason": row.reason,
            **interval_to_json(interval),
            **former_times(earlier := None if old is None else Interval(old.starts, old.ends), interval),
            "operation": operation_id,
        }
        tx.audit("role.granted", project=project_of(row.scope), target=row.identity, details=payload)
        assignment_alerts.alert_of_grant(tx, row.role, row.scope, grantee, row.reason, row.ends)
        if any_request:
            request_settlement.settle_granted_requests(tx, row.role, row.scope, grantee, interval, earlier)


def _microseconds(interval: Interval) -> list[int | None]:
    return [None if time is None else to_microseconds(time) for time in (interval.starts, interval.ends)]
