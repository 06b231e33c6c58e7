"""The records of operations in the store: who may see them, and each step of their life."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from aizen_hub.authorization import checks
from aizen_hub.operations.operation import (
    CANCELLED,
    Effect,
    Operation,
    OperationCancelled,
    OperationInterrupted,
    OperationState,
    Progress,
)
from aizen_hub.problems import Conflict, NotFound, TooManyRequests
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

LEASE = timedelta(seconds=30)
"""How long an operation may go without a renewal before its process counts as ended."""
MAX_OPEN_PER_REQUESTER = 4
MAX_LISTED = 200
_OPEN = (OperationState.WAITING.value, OperationState.RUNNING.value)
_o = tables.operations


def create_operation(tx: WriteTransaction, kind: str, owner: str, details: Mapping[str, Any]) -> Operation:
    """Record a new operation of the transaction's actor, which has to be authorized already.

    Parameters
    ----------
    details : mapping
        For the audit row.

    Raises
    ------
    TooManyRequests
        Too many operations of the actor have not ended.
    """
    mine = select(func.count()).where(_o.c.requested_by == str(tx.actor.identity), _o.c.state.in_(_OPEN))
    if tx.conn.execute(mine).scalar_one() >= MAX_OPEN_PER_REQUESTER:
        raise TooManyRequests(
            f"{MAX_OPEN_PER_REQUESTER} of your operations have not ended", remedy="wait for one of them, or cancel it"
        )
    operation_id = secrets.token_hex(16)
    tx.conn.execute(
        insert(_o).values(
            id=operation_id,
            kind=kind,
            requested_by=str(tx.actor.identity),
            channel=str(tx.actor.channel),
            source=tx.actor.source,
            requested=tx.now,
            state=OperationState.WAITING.value,
            effect=Effect.NONE.value,
            owner=owner,
            lease_until=tx.now + LEASE,
            progress=Progress("waiting").to_json(),
        )
    )
    tx.audit("operation.started", details={"operation": operation_id, "kind": kind, **details})
    return get_operation(tx, operation_id)


def get_operation(tx: ReadTransaction, operation_id: str) -> Operation:
    """Return an operation of any identity; raises NotFound."""
    row = tx.conn.execute(select(_o).where(_o.c.id == operation_id)).first()
    if row is None:
        raise operation_not_found()
    return Operation.from_row(row)


def get_visible_operation(tx: ReadTransaction, actor: Actor, operation_id: str) -> Operation:
    """Return an operation of the actor, or of anyone for an actor who may read access in the system.

    Raises
    ------
    NotFound
        It does not exist, or is of another user.
    """
    operation = get_operation(tx, operation_id)
    if operation.requested_by != actor.identity and not may_see_all(tx, actor):
        raise operation_not_found()
    return operation


def list_visible_operations(tx: ReadTransaction, actor: Actor) -> list[Operation]:
    """Return the newest operations of the actor, or of all users for an actor who may read access in the system."""
    query = select(_o).order_by(_o.c.requested.desc(), _o.c.id).limit(MAX_LISTED)
    if not may_see_all(tx, actor):
        query = query.where(_o.c.requested_by == str(actor.identity))
    return [Operation.from_row(row) for row in tx.conn.execute(query)]


def may_see_all(tx: ReadTransaction, actor: Actor) -> bool:
    """Return whether an actor sees the operations of other users."""
    permission = checks.endpoint_permission(tx, "access")
    return actor.acting is None and checks.decide_now(tx, actor.identity, permission, SYSTEM).allowed


def request_cancellation(tx: WriteTransaction, operation_id: str) -> Operation:
    """Ask for the end of an operation of the actor; it ends at its next step, without any effect.

    A user who may end the sessions of others may end their operations too.

    Raises
    ------
    NotFound
    Denied
        It is of another user.
    Conflict
        It has ended, or has taken effect.
    """
    operation = get_visible_operation(tx, tx.actor, operation_id)
    if operation.requested_by != tx.actor.identity:
        checks.require(tx, checks.endpoint_permission(tx, "sessions"))
    if operation.state.has_ended:
        raise Conflict(f"the operation has already ended: {operation.state}")
    if operation.effect is Effect.APPLIED:
        raise Conflict("the operation has taken effect, and only its records are being completed")
    if operation.cancelled_by is None:
        tx.conn.execute(update(_o).where(_o.c.id == operation_id).values(cancelled_by=str(tx.actor.identity)))
        tx.audit("operation.cancelled", details={"operation": operation_id, "kind": operation.kind})
    return get_operation(tx, operation_id)


def renew(
    tx: WriteTransaction,
    operation_id: str,
    owner: str,
    progress: Progress,
    *,
    even_if_cancelled: bool = False,
    **values: Any,
) -> None:
    """Store the progress of a running operation, which renews its lease.

    Raises
    ------
    OperationCancelled
    OperationInterrupted
        Another process has taken over: this one was silent for too long.
    """
    conditions = [_o.c.id == operation_id, _o.c.owner == owner, _o.c.state.in_(_OPEN)]
    if not even_if_cancelled:
        conditions.append(_o.c.cancelled_by.is_(None))
    changed = _update(
        tx,
        conditions,
        state=OperationState.RUNNING.value,
        lease_until=tx.now + LEASE,
        progress=progress.to_json(),
        **values,
    )
    if not changed:
        raise lost_error(tx, operation_id, owner)


def renew_waiting(tx: WriteTransaction, owner: str, operation_ids: Sequence[str]) -> None:
    """Renew the lease of operations that wait for a thread of their process: they do not do it themselves."""
    mine = [_o.c.id.in_(operation_ids), _o.c.owner == owner, _o.c.state == OperationState.WAITING.value]
    _update(tx, mine, lease_until=tx.now + LEASE)


def lost_error(tx: ReadTransaction, operation_id: str, owner: str) -> OperationCancelled | OperationInterrupted:
    """Return why an operation cannot go on: it was cancelled, or another process has taken over."""
    operation = get_operation(tx, operation_id)
    if operation.owner == owner and operation.cancelled_by is not None and not operation.state.has_ended:
        return OperationCancelled(CANCELLED)
    return OperationInterrupted("another process has taken over this operation, whose lease was not renewed in time")


def apply_effect(tx: WriteTransaction, operation_id: str, owner: str) -> bool:
    """Put in effect what the operation staged, from this transaction on; False if it was cancelled before."""
    return _update(
        tx,
        [
            _o.c.id == operation_id,
            _o.c.owner == owner,
            _o.c.state == OperationState.RUNNING.value,
            _o.c.effect == Effect.STAGED.value,
            _o.c.cancelled_by.is_(None),
        ],
        effect=Effect.APPLIED.value,
        lease_until=tx.now + LEASE,
    )


def store_result(tx: WriteTransaction, operation_id: str, result: Mapping[str, Any]) -> None:
    """Store the result of an operation that takes effect, so that any process can complete it."""
    tx.conn.execute(update(_o).where(_o.c.id == operation_id).values(result=dict(result)))


def finish(
    tx: WriteTransaction,
    operation: Operation,
    state: OperationState,
    *,
    result: Mapping[str, Any] | None = None,
    problem: Mapping[str, Any] | None = None,
) -> None:
    """Close an operation; what it staged must be finalized or discarded.

    Raises
    ------
    OperationInterrupted
        Another process has taken over.
    """
    effect = Effect.FINALIZED if operation.effect is Effect.APPLIED else Effect.NONE
    values: dict[str, Any] = {"problem": None if problem is None else dict(problem)}
    if result is not None:
        values["result"] = dict(result)
    if state is not OperationState.SUCCEEDED:
        values["result"] = None
    mine = [_o.c.id == operation.id, _o.c.owner == operation.owner, _o.c.state.in_(_OPEN)]
    if not _update(tx, mine, state=state.value, effect=effect.value, ended=tx.now, **values):
        raise lost_error(tx, operation.id, operation.owner)
    details = {"operation": operation.id, "kind": operation.kind, "state": state.value}
    tx.audit("operation.ended", reason=None if problem is None else str(problem["detail"]), details=details)


def find_orphans(tx: ReadTransaction, owner: str, *, all_others: bool) -> Sequence[Operation]:
    """Return the operations whose process has ended.

    Parameters
    ----------
    all_others : bool
        No other process can be running, so all operations of others are orphans; otherwise those whose lease is over.
    """
    query = select(_o).where(_o.c.state.in_(_OPEN))
    query = query.where(_o.c.owner != owner) if all_others else query.where(_o.c.lease_until < tx.now)
    return [Operation.from_row(row) for row in tx.conn.execute(query.order_by(_o.c.requested))]


def release(tx: WriteTransaction, operation: Operation) -> None:
    """Let another process take over at once, if this one still has the operation."""
    _update(tx, [_o.c.id == operation.id, _o.c.owner == operation.owner, _o.c.state.in_(_OPEN)], lease_until=tx.now)


def take_over(tx: WriteTransaction, operation: Operation, owner: str) -> bool:
    """Make this process the owner of an orphan; False if another one was faster."""
    return _update(
        tx,
        [_o.c.id == operation.id, _o.c.owner == operation.owner, _o.c.state.in_(_OPEN)],
        owner=owner,
        lease_until=tx.now + LEASE,
    )


def prune_operations(tx: WriteTransaction, before: datetime) -> int:
    """Delete operations that ended before a time; returns how many."""
    return tx.conn.execute(delete(_o).where(_o.c.ended < before)).rowcount


def operation_not_found() -> NotFound:
    return NotFound("there is no such operation of yours")


def _update(tx: WriteTransaction, conditions: Sequence[ColumnElement[bool]], **values: Any) -> bool:
    return bool(tx.conn.execute(update(_o).where(*conditions).values(**values)).rowcount)
