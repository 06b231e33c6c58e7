"""Decisions of a review, about single assignments or by a rule; nothing changes before they are carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert

from aizen_hub.accounts.reviews.lifecycle import AccessReview, get_review, require_open
from aizen_hub.accounts.reviews.rows import (
    Choice,
    ReviewAuthority,
    ReviewRow,
    RowFilter,
    find_row,
    is_never_used,
    is_recently_used,
    list_rows,
)
from aizen_hub.problems import BadInput, Conflict, Denied
from aizen_hub.rbac.role import project_of
from aizen_hub.store import tables
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

DEFAULT_END = timedelta(days=90)
"""The end that is proposed for an assignment without one."""
MAX_FILLED = 5_000
"""Assignments that one rule decides at once; the rest needs another call."""
_d = tables.review_decisions


class FillRule(StrEnum):
    """A rule that decides what is not decided yet."""

    KEEP_USED = "keep-used"
    REMOVE_UNUSED = "remove-unused"
    SHORTEN_ENDLESS = "shorten-endless"


_RULES: Mapping[FillRule, tuple[Choice, Callable[[ReviewRow, datetime], bool]]] = {
    FillRule.KEEP_USED: (Choice.KEEP, is_recently_used),
    FillRule.REMOVE_UNUSED: (Choice.REMOVE, is_never_used),
    FillRule.SHORTEN_ENDLESS: (Choice.SHORTEN, lambda row, _: row.ends is None),
}


@dataclass(frozen=True, slots=True)
class NewChoice:
    """One decision; ``choice`` None takes an earlier one back, ``until`` is the new end of what is shortened."""

    assignment_id: int
    choice: Choice | None
    until: datetime | None = None


def decide(tx: WriteTransaction, review_id: str, choices: Sequence[NewChoice]) -> AccessReview:
    """Record decisions about assignments, in place of earlier ones that are not carried out.

    Raises
    ------
    NotFound
        There is no such review for the actor.
    Conflict
        The review is finished, or a decision was carried out already.
    BadInput
        There is no such assignment in the scope, or the new end is in the past or not earlier than the present one.
    Denied
        The actor could not take the role away, or has it: no user decides about themselves.
    """
    review = get_review(tx, review_id)
    require_open(review)
    authority = ReviewAuthority(tx, review)
    for choice in choices:
        row = find_row(tx, review, choice.assignment_id)
        if row is None:
            raise BadInput("there is no such assignment any more", remedy="reload the page")
        _write_choice(tx, review, authority, row, choice)
    details = {"review": review.id, "decisions": len(choices)}
    tx.audit("review.decided", project=project_of(review.scope), details=details)
    return get_review(tx, review_id)


def fill_in(
    tx: WriteTransaction, review_id: str, rule: FillRule, *, until: datetime | None = None
) -> tuple[AccessReview, int]:
    """Decide by a rule what is not decided and what the actor may decide; returns how many were.

    Parameters
    ----------
    until : datetime, optional
        The new end of what is shortened; by default in 90 days.
    """
    review = get_review(tx, review_id)
    require_open(review)
    authority = ReviewAuthority(tx, review)
    choice, applies = _RULES[rule]
    end = until or tx.now + DEFAULT_END
    filled, after = 0, None
    while filled < MAX_FILLED and (rows := list_rows(tx, review, RowFilter.UNDECIDED, after=after, limit=500)):
        after = (rows[-1].identity, rows[-1].role)
        for row in rows:
            if applies(row, tx.now) and authority.why_not(row) is None:
                chosen = NewChoice(row.assignment_id, choice, end if choice is Choice.SHORTEN else None)
                _write_choice(tx, review, authority, row, chosen)
                filled += 1
    details = {"review": review.id, "decisions": filled, "rule": str(rule)}
    tx.audit("review.decided", project=project_of(review.scope), details=details)
    return get_review(tx, review_id), filled


def _write_choice(
    tx: WriteTransaction, review: AccessReview, authority: ReviewAuthority, row: ReviewRow, choice: NewChoice
) -> None:
    name = excerpt(row.identity)
    if row.carried_out is not None:
        raise Conflict(f"the decision about {row.role} of `{name}` was carried out", remedy="undo it first")
    reason = authority.why_not(row)
    if reason is not None:
        raise Denied(f"you cannot decide about {row.role} of `{name}`: {reason}")
    if choice.choice is Choice.SHORTEN:
        if choice.until is None or choice.until <= tx.now or choice.until <= (row.starts or tx.now):
            raise BadInput(f"the new end of {row.role} of `{name}` has to be in the future")
        if row.ends is not None and choice.until >= row.ends:
            raise BadInput(f"{row.role} of `{name}` ends earlier than that already")
    is_key = (_d.c.review_id == review.id) & (_d.c.assignment_id == row.assignment_id)
    tx.conn.execute(delete(_d).where(is_key))
    if choice.choice is not None:
        tx.conn.execute(
            insert(_d).values(
                review_id=review.id,
                assignment_id=row.assignment_id,
                identity=row.identity,
                role=row.role,
                choice=str(choice.choice),
                until=choice.until if choice.choice is Choice.SHORTEN else None,
                decided_by=str(tx.actor.identity),
                decided=tx.now,
                uses=row.uses,
                last_used=row.last_used,
            )
        )
