"""Reviews of access: started for one scope with a deadline, listed, and finished (R131)."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, insert, select, update

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_users
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.permission_holders import holders_of
from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import BadInput, Conflict, NotFound
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

DEFAULT_PERIOD = timedelta(days=14)
MAX_PERIOD = timedelta(days=366)
_MAX_ALERTED = 20
_r, _d, _a = tables.access_reviews, tables.review_decisions, tables.assignments


@dataclass(frozen=True, slots=True)
class AccessReview:
    """One review, with how many of its assignments are decided.

    Attributes
    ----------
    total : int
        Assignments of the scope that can be decided; those of the creator and of mapping rules are always kept.
    decided : int
        Those of them that are decided, for a finished review those that were.
    kept, shortened, removed : int
        Decisions by choice.
    to_carry_out : int
        Assignments that will be shortened or taken away.
    """

    id: str
    scope: str
    started_by: str
    started: datetime
    deadline: datetime
    note: str
    finished: datetime | None
    finished_by: str | None
    total: int
    decided: int
    kept: int
    shortened: int
    removed: int
    to_carry_out: int

    @property
    def is_open(self) -> bool:
        return self.finished is None


def start_review(tx: WriteTransaction, scope: str, *, deadline: datetime | None = None, note: str = "") -> AccessReview:
    """Start the review of a scope; the others who may review it are alerted.

    Missing the deadline takes nothing away.

    Raises
    ------
    NotFound, Denied
        The actor may not read access in the scope (R72).
    Conflict
        A review of the scope is open already.
    BadInput
        The deadline is in the past, or more than a year ahead.
    """
    require_may_review(tx, scope)
    ends = deadline or tx.now + DEFAULT_PERIOD
    if not tx.now < ends <= tx.now + MAX_PERIOD:
        raise BadInput("the deadline has to be in the future, and within a year")
    if find_open_review(tx, scope) is not None:
        raise Conflict("a review of this access is open already", remedy="finish it first")
    values = {
        "id": secrets.token_hex(16),
        "scope": scope,
        "started_by": str(tx.actor.identity),
        "started": tx.now,
        "deadline": ends,
        "note": check_prose(note, "note"),
    }
    tx.conn.execute(insert(_r).values(**values))
    details = {"review": values["id"], "scope": scope, "deadline": to_json_value(ends)}
    tx.audit("review.started", project=project_of(scope), details=details)
    permission = Permission.parse(checks.endpoint_permission(tx, "access"))
    holders = holders_of(tx, permission, scope, IdentityKind.USER, limit=_MAX_ALERTED).holders
    names = [holder.identity.name for holder in holders if holder.identity != tx.actor.identity]
    page = f"reviews/{values['id']}"
    payload = {"scope": scope, "by": tx.actor.identity.name, "until": to_json_value(ends), "page": page}
    alert_users(tx, names, AlertEvent.REVIEW_STARTED, payload)
    return get_review(tx, str(values["id"]))


def get_review(tx: ActorTransaction, review_id: str) -> AccessReview:
    """Return a review that the actor may read; NotFound for every other id (R72)."""
    reviews = _read_reviews(tx, _r.c.id == review_id)
    if not reviews:
        raise NotFound("there is no such review")
    try:
        require_may_review(tx, reviews[0].scope)
    except NotFound:
        raise NotFound("there is no such review") from None
    return reviews[0]


def find_open_review(tx: ActorTransaction, scope: str) -> AccessReview | None:
    """Return the open review of a scope, if there is one; without an authorization check."""
    reviews = _read_reviews(tx, and_(_r.c.scope == scope, _r.c.finished.is_(None)))
    return reviews[0] if reviews else None


def list_reviews(tx: ActorTransaction, scope: str, limit: int = 50) -> list[AccessReview]:
    """List the reviews of a scope, the newest first."""
    require_may_review(tx, scope)
    return _read_reviews(tx, _r.c.scope == scope, limit)


def list_open_reviews(
    tx: ActorTransaction, scopes: Collection[str] | None = None, limit: int = 50
) -> list[AccessReview]:
    """List the open reviews, the earliest deadline first, without an authorization check.

    Parameters
    ----------
    scopes : collection of str, optional
        Only those of these scopes; None: all.
    """
    conditions: list[Any] = [_r.c.finished.is_(None)]
    if scopes is not None:
        conditions.append(_r.c.scope.in_(sorted(scopes)))
    return sorted(_read_reviews(tx, and_(*conditions), limit), key=lambda review: review.deadline)


def list_open_scopes(tx: ActorTransaction, scopes: Collection[str], limit: int) -> list[str]:
    """List those of some scopes whose review is open, at most `limit`, without an authorization check."""
    found: list[str] = []
    for chunk in chunked(sorted(scopes)):
        query = select(_r.c.scope).where(_r.c.scope.in_(chunk), _r.c.finished.is_(None))
        found += tx.conn.execute(query.order_by(_r.c.scope).limit(limit - len(found))).scalars()
        if len(found) == limit:
            break
    return found


def finish_review(tx: WriteTransaction, review_id: str) -> AccessReview:
    """Finish a review; what is not decided stays as it is.

    Raises
    ------
    Conflict
        It is finished already, or decisions were not carried out.
    """
    review = get_review(tx, review_id)
    require_open(review)
    if review.to_carry_out:
        raise Conflict(f"{review.to_carry_out} decisions are not carried out", remedy="carry them out, or change them")
    close_review(tx, review)
    return get_review(tx, review_id)


def close_review(tx: WriteTransaction, review: AccessReview) -> None:
    """Mark a review as finished, and record what was decided."""
    tx.conn.execute(update(_r).where(_r.c.id == review.id).values(finished=tx.now, finished_by=str(tx.actor.identity)))
    counts = {"kept": review.kept, "shortened": review.shortened, "removed": review.removed, "total": review.total}
    tx.audit("review.finished", project=project_of(review.scope), details={"review": review.id, **counts})


def require_open(review: AccessReview) -> None:
    """Raise Conflict for a review that is finished."""
    if not review.is_open:
        raise Conflict("this review is finished", remedy="start another one")


def require_may_review(tx: ActorTransaction, scope: str) -> None:
    """Require that the actor may read access in the scope; each change needs the right to make it, too."""
    if scope != SYSTEM:
        checks.require_visible_project(tx, scope)
    checks.require(tx, checks.endpoint_permission(tx, "access"), scope)


def decidable(now: datetime) -> Any:
    """Return the condition of the assignments that a review decides."""
    return and_(~_a.c.creator, ~_a.c.mapped, (_a.c.ends.is_(None)) | (_a.c.ends > now))


def _read_reviews(tx: ActorTransaction, condition: Any, limit: int = 50) -> list[AccessReview]:
    rows = tx.conn.execute(select(_r).where(condition).order_by(_r.c.started.desc(), _r.c.id).limit(limit)).all()
    return [_with_counts(tx, row) for row in rows]


def _with_counts(tx: ActorTransaction, row: Any) -> AccessReview:
    by_choice = {
        choice: (count, waiting)
        for choice, count, waiting in tx.conn.execute(
            select(_d.c.choice, func.count(), func.sum(case((_d.c.carried_out.is_(None), 1), else_=0)))
            .where(_d.c.review_id == row.id, _d.c.undone.is_(None))
            .group_by(_d.c.choice)
        )
    }
    kept, shortened, removed = (by_choice.get(choice, (0, 0)) for choice in ("keep", "shorten", "remove"))
    decided = kept[0] + shortened[0] + removed[0]
    total = decided
    if row.finished is None:
        undecided = ~_d.c.assignment_id.is_not(None)
        joined = _a.outerjoin(_d, and_(_d.c.review_id == row.id, _d.c.assignment_id == _a.c.id, _d.c.undone.is_(None)))
        total += tx.conn.execute(
            select(func.count()).select_from(joined).where(_a.c.scope == row.scope, decidable(tx.now), undecided)
        ).scalar_one()
    return AccessReview(
        row.id,
        row.scope,
        row.started_by,
        row.started,
        row.deadline,
        row.note,
        row.finished,
        row.finished_by,
        total,
        decided,
        kept[0],
        shortened[0],
        removed[0],
        to_carry_out=shortened[1] + removed[1],
    )
