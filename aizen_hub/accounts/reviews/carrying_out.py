"""What a review decided, carried out at once as changes of the actor, and undone (R131)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from aizen_hub.accounts.reviews.lifecycle import close_review, get_review, require_open
from aizen_hub.accounts.reviews.rows import Choice, find_row
from aizen_hub.accounts.roles import assignments
from aizen_hub.commands.result import Result, table_result
from aizen_hub.problems import BadInput, Conflict
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import project_of
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

UNDO_PERIOD = timedelta(days=30)
_d = tables.review_decisions
_COLUMNS = ("account", "role", "change", "until", "answer")


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """One decision of a review that was carried out, for its history."""

    assignment_id: int
    identity: str
    role: str
    choice: Choice
    until: datetime | None
    decided_by: str
    carried_out: datetime
    last_used: datetime | None
    uses: int
    undone: datetime | None


def carry_out(tx: WriteTransaction, review_id: str) -> Result:
    """Carry out all decisions, in this transaction or not at all; a review without anything undecided is finished.

    Every change is checked as if the actor made it alone. One of a protected role may wait for confirmation.

    Returns
    -------
    Result
        A table of the changes; ``data["finished"]`` tells whether the review is.

    Raises
    ------
    Conflict
        The review is finished, or an assignment was changed since it was decided.
    Problem
        Any problem of a change; then none is made.
    """
    review = get_review(tx, review_id)
    require_open(review)
    decisions = tx.conn.execute(
        select(_d)
        .where(_d.c.review_id == review.id, _d.c.carried_out.is_(None), _d.c.undone.is_(None))
        .order_by(_d.c.identity, _d.c.role)
    ).all()
    rows: list[tuple[Any, ...]] = []
    for decision in decisions:
        assignment = find_row(tx, review, decision.assignment_id)
        former: dict[str, Any] = {}
        if assignment is None:
            rows.append((decision.identity, decision.role, decision.choice, None, "was taken away meanwhile"))
        else:
            former = {
                "former_starts": assignment.starts,
                "former_ends": assignment.ends,
                "former_reason": assignment.reason,
            }
            answer = _change(tx, review.scope, decision, assignment.starts, assignment.reason)
            if decision.choice != Choice.KEEP:
                rows.append((decision.identity, decision.role, decision.choice, decision.until, answer))
        tx.conn.execute(
            update(_d)
            .where(_d.c.review_id == review.id, _d.c.assignment_id == decision.assignment_id)
            .values(carried_out=tx.now, carried_out_by=str(tx.actor.identity), **former)
        )
    tx.audit(
        "review.carried-out",
        project=project_of(review.scope),
        details={"review": review.id, "changes": len(rows), "kept": len(decisions) - len(rows)},
    )
    review = get_review(tx, review_id)
    finished = review.decided >= review.total
    if finished:
        close_review(tx, review)
    text = f"{len(rows)} changes, {len(decisions) - len(rows)} kept"
    return table_result(_COLUMNS, rows, text, finished=finished, review=review.id)


def undo(tx: WriteTransaction, review_id: str, assignment_ids: Sequence[int] | None = None) -> Result:
    """Give back what a review took away or shortened in the last 30 days, as grants of the actor.

    Parameters
    ----------
    assignment_ids : sequence of int, optional
        Only these; by default everything.

    Raises
    ------
    Conflict
        Nothing of this can be undone any more.
    Problem
        Any problem of a grant; then nothing is changed.
    """
    review = get_review(tx, review_id)
    query = select(_d).where(
        _d.c.review_id == review.id,
        _d.c.choice != str(Choice.KEEP),
        _d.c.carried_out > tx.now - UNDO_PERIOD,
        _d.c.undone.is_(None),
    )
    if assignment_ids is not None:
        query = query.where(_d.c.assignment_id.in_(sorted(assignment_ids)))
    decisions = tx.conn.execute(query.order_by(_d.c.identity, _d.c.role)).all()
    if not decisions:
        raise Conflict("there is nothing to undo", remedy="a review can be undone for 30 days")
    rows: list[tuple[Any, ...]] = []
    for decision in decisions:
        if decision.former_ends is not None and decision.former_ends <= tx.now:
            rows.append((decision.identity, decision.role, "none", decision.former_ends, "would have ended by now"))
        else:
            result = assignments.grant_roles(
                tx,
                [decision.role],
                review.scope,
                Identity.parse(decision.identity),
                interval=Interval(decision.former_starts, decision.former_ends),
                reason=decision.former_reason,
            )
            rows.append((decision.identity, decision.role, "given back", decision.former_ends, result.message))
        tx.conn.execute(
            update(_d)
            .where(_d.c.review_id == review.id, _d.c.assignment_id == decision.assignment_id)
            .values(undone=tx.now)
        )
    tx.audit("review.undone", project=project_of(review.scope), details={"review": review.id, "changes": len(rows)})
    return table_result(_COLUMNS, rows, f"undid {len(rows)} changes", review=review.id)


def list_carried_out(tx: ActorTransaction, review_id: str, limit: int = 500) -> list[CarriedOut]:
    """List what a review changed and kept, the changes first."""
    review = get_review(tx, review_id)
    query = select(_d).where(_d.c.review_id == review.id, _d.c.carried_out.is_not(None))
    return [
        CarriedOut(
            row.assignment_id,
            row.identity,
            row.role,
            Choice(row.choice),
            row.until,
            row.decided_by,
            row.carried_out,
            row.last_used,
            row.uses or 0,
            row.undone,
        )
        for row in tx.conn.execute(
            query.order_by(_d.c.choice == str(Choice.KEEP), _d.c.identity, _d.c.role).limit(limit)
        )
    ]


def _change(tx: WriteTransaction, scope: str, decision: Any, starts: datetime | None, reason: str) -> str:
    holder, choice = Identity.parse(decision.identity), Choice(decision.choice)
    if choice is Choice.REMOVE:
        return assignments.revoke_roles(tx, [decision.role], scope, holder, reason="review of access").message
    if choice is Choice.SHORTEN:
        if decision.until <= tx.now:
            raise BadInput(f"the new end of {decision.role} of `{holder.name}` has passed", remedy="decide it again")
        interval = Interval(starts, decision.until)
        return assignments.grant_roles(tx, [decision.role], scope, holder, interval=interval, reason=reason).message
    return ""
