"""The assignments of a review, with grantor, age, use, what was decided, and what keeps the actor from deciding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from aizen_hub.accounts.reviews.lifecycle import AccessReview, decidable
from aizen_hub.authorization.delegation import GrantAuthority, format_names, join_missing
from aizen_hub.authorization.queries.grantors import who_can_revoke
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aizen_hub.store.transaction import ActorTransaction

USED_RECENTLY = timedelta(days=30)
UNUSED_LONG = timedelta(days=90)
NEVER_USED_AFTER = timedelta(days=45)
"""Age from which an assignment without any use counts as never used; a new one may not have been needed yet."""
_a, _d, _u = tables.assignments, tables.review_decisions, tables.assignment_uses


class Choice(StrEnum):
    """What is decided about one assignment."""

    KEEP = "keep"
    SHORTEN = "shorten"
    REMOVE = "remove"


class RowFilter(StrEnum):
    """Which assignments are listed."""

    ALL = "all"
    UNDECIDED = "undecided"
    DECIDED = "decided"
    NEVER_USED = "never-used"
    UNUSED_LONG = "unused"
    USED_RECENTLY = "used"
    ENDLESS = "no-end"
    GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One assignment of a review.

    Attributes
    ----------
    uses : int
        How often it allowed something; ``last_used`` is None if it never did.
    choice : Choice or None
        None: not decided.
    until : datetime or None
        The new end of an assignment that is shortened.
    carried_out : datetime or None
    """

    assignment_id: int
    identity: str
    role: str
    granted_by: str
    granted: datetime
    reason: str
    starts: datetime | None
    ends: datetime | None
    creator: bool
    mapped: bool
    last_used: datetime | None
    uses: int
    choice: Choice | None
    until: datetime | None
    decided_by: str | None
    carried_out: datetime | None


def list_rows(
    tx: ActorTransaction,
    review: AccessReview,
    show: RowFilter = RowFilter.ALL,
    *,
    text: str = "",
    role: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[ReviewRow]:
    """Return rows in the order of identity and role, without an authorization check.

    Parameters
    ----------
    text : str
        A part of the name of the identity.
    role : str, optional
        Only assignments of this role.
    after : (str, str), optional
        The identity and role of the last row of the page before.
    """
    conditions = _conditions(tx, review, show, text, role)
    if after is not None:
        conditions.append(or_(_a.c.identity > after[0], and_(_a.c.identity == after[0], _a.c.role > after[1])))
    query = _query(review).where(*conditions).order_by(_a.c.identity, _a.c.role).limit(limit)
    return [_row(row) for row in tx.conn.execute(query)]


def count_rows(
    tx: ActorTransaction,
    review: AccessReview,
    show: RowFilter = RowFilter.ALL,
    *,
    text: str = "",
    role: str | None = None,
) -> int:
    """Return how many rows `list_rows` has on all pages."""
    query = _query(review).where(*_conditions(tx, review, show, text, role))
    return tx.conn.execute(select(func.count()).select_from(query.subquery())).scalar_one()


def roles_in(tx: ActorTransaction, review: AccessReview) -> list[str]:
    """Return the roles that are assigned in the scope of a review."""
    query = select(_a.c.role).where(_a.c.scope == review.scope).distinct().order_by(_a.c.role)
    return list(tx.conn.execute(query).scalars())


def find_row(tx: ActorTransaction, review: AccessReview, assignment_id: int) -> ReviewRow | None:
    """Return the row of an assignment that is still there."""
    row = tx.conn.execute(_query(review).where(_a.c.scope == review.scope, _a.c.id == assignment_id)).first()
    return None if row is None else _row(row)


class ReviewAuthority:
    """What the actor of a transaction may decide in a review.

    Parameters
    ----------
    tx : ActorTransaction
    review : AccessReview
    """

    def __init__(self, tx: ActorTransaction, review: AccessReview) -> None:
        self._tx, self._review = tx, review
        self._authority = GrantAuthority.of_actor(tx)
        self._deciders: dict[str, tuple[str, ...]] = {}

    def why_not(self, row: ReviewRow) -> str | None:
        """Return why the actor cannot decide about an assignment, as a sentence; None if they can."""
        if row.creator:
            return "the creator of the project always keeps this"
        if row.mapped:
            return "a mapping rule gives this, and would give it again"
        holder = Identity.parse(row.identity)
        if holder == self._tx.actor.identity or holder in self._authority.controlled:
            others = self._others(row)
            return f"this is yours; {format_names(others)} can decide it" if others else "this is yours"
        role = self._tx.roles.get(row.role)
        if role is None:
            return "this role does not exist any more"
        missing = self._authority.missing_to_revoke(self._tx, role, self._review.scope, holder, creator=row.creator)
        if not missing:
            return None
        others = self._others(row)
        return f"{format_names(others)} can decide this" if others else join_missing(missing)

    def _others(self, row: ReviewRow) -> list[str]:
        """Return users who could take this role away: those of another holder, without the holder."""
        if row.role not in self._deciders:
            holder = Identity.parse(row.identity)
            asking = (self._tx.actor.identity,)
            self._deciders[row.role] = who_can_revoke(self._tx, row.role, self._review.scope, holder, besides=asking)
        return [name for name in self._deciders[row.role] if f"user:{name}" != row.identity]


def is_recently_used(row: ReviewRow, now: datetime) -> bool:
    """Return whether the assignment allowed something within the last 30 days."""
    return row.last_used is not None and row.last_used > now - USED_RECENTLY


def is_never_used(row: ReviewRow, now: datetime) -> bool:
    """Return whether the assignment is old enough to have been used, and never was."""
    return row.last_used is None and row.granted <= now - NEVER_USED_AFTER


def _query(review: AccessReview) -> Any:
    uses = _a.outerjoin(_u, _u.c.assignment_id == _a.c.id)
    joined = uses.outerjoin(_d, and_(_d.c.review_id == review.id, _d.c.assignment_id == _a.c.id, _d.c.undone.is_(None)))
    return select(
        _a,
        _u.c.last_used,
        _u.c.uses,
        _d.c.choice,
        _d.c.until,
        _d.c.decided_by,
        _d.c.carried_out,
    ).select_from(joined)


def _conditions(
    tx: ActorTransaction, review: AccessReview, show: RowFilter, text: str, role: str | None
) -> list[ColumnElement[bool]]:
    now = tx.now
    conditions: list[ColumnElement[bool]] = [
        _a.c.scope == review.scope,
        or_(_a.c.ends.is_(None), _a.c.ends > now),
    ]
    if text:
        conditions.append(_a.c.identity.contains(text.lower(), autoescape=True))
    if role is not None:
        conditions.append(_a.c.role == role)
    by_filter: dict[RowFilter, Sequence[ColumnElement[bool]]] = {
        RowFilter.ALL: (),
        RowFilter.UNDECIDED: (_d.c.choice.is_(None), decidable(now)),
        RowFilter.DECIDED: (_d.c.choice.is_not(None),),
        RowFilter.NEVER_USED: (_u.c.last_used.is_(None),),
        RowFilter.UNUSED_LONG: (or_(_u.c.last_used.is_(None), _u.c.last_used <= now - UNUSED_LONG),),
        RowFilter.USED_RECENTLY: (_u.c.last_used > now - USED_RECENTLY,),
        RowFilter.ENDLESS: (_a.c.ends.is_(None),),
        RowFilter.GROUPS: (_a.c.identity.like("group:%"),),
    }
    return [*conditions, *by_filter[show]]


def _row(row: Any) -> ReviewRow:
    return ReviewRow(
        row.id,
        row.identity,
        row.role,
        row.granted_by,
        row.granted,
        row.reason,
        row.starts,
        row.ends,
        row.creator,
        row.mapped,
        row.last_used,
        row.uses or 0,
        None if row.choice is None else Choice(row.choice),
        row.until,
        row.decided_by,
        row.carried_out,
    )
