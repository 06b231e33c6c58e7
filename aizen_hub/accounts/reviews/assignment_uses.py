"""When each assignment was last used, and how often: written from the counts of the decision service (R131)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import case, select
from sqlalchemy.dialects import postgresql, sqlite

from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

MAX_WRITTEN_AT_ONCE = 200
"""Counts of one transaction, so that it holds the write lock for a few milliseconds only."""
_u = tables.assignment_uses


def unauthorized_record_uses(tx: WriteTransaction, uses: Sequence[AssignmentUse]) -> None:
    """Add counts to what is stored; those of assignments that were deleted meanwhile are dropped.

    Called by the service itself, for decisions that it made and recorded.
    """
    ids = [use.assignment_id for use in uses]
    existing = set(tx.conn.execute(select(tables.assignments.c.id).where(tables.assignments.c.id.in_(ids))).scalars())
    rows = [use._asdict() for use in uses if use.assignment_id in existing]
    if not rows:
        return
    insert = sqlite.insert if tx.conn.dialect.name == "sqlite" else postgresql.insert
    statement = insert(_u).values(rows)
    new = statement.excluded
    tx.conn.execute(
        statement.on_conflict_do_update(
            index_elements=[_u.c.assignment_id],
            set_={
                "uses": _u.c.uses + new.uses,
                # Another replica may have written a later use.
                "last_used": case((_u.c.last_used > new.last_used, _u.c.last_used), else_=new.last_used),
            },
        )
    )


def find_uses(tx: ReadTransaction, assignment_ids: Iterable[int]) -> Mapping[int, AssignmentUse]:
    """Return the recorded uses of assignments by id; an assignment that was never used is missing."""
    uses: dict[int, AssignmentUse] = {}
    for chunk in chunked(sorted(set(assignment_ids))):
        for row in tx.conn.execute(select(_u).where(_u.c.assignment_id.in_(chunk))):
            uses[row.assignment_id] = AssignmentUse(row.assignment_id, row.first_used, row.last_used, row.uses)
    return uses
