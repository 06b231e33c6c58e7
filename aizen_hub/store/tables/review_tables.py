"""Tables of access reviews: how often each assignment is used, the reviews, and what was decided in them (R131)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Text

from aizen_hub.store.tables.columns import IDENTITY_LENGTH, NAME_LENGTH, IdType, make_table
from aizen_hub.store.timestamps import UtcDateTime

assignment_uses = make_table(
    # Counted from the decisions that each assignment allowed; an assignment that was never used has no row.
    "assignment_uses",
    Column("assignment_id", IdType, ForeignKey("assignments.id", ondelete="CASCADE"), primary_key=True),
    Column("first_used", UtcDateTime, nullable=False),
    Column("last_used", UtcDateTime, nullable=False),
    Column("uses", BigInteger, nullable=False),
)

access_reviews = make_table(
    "access_reviews",
    Column("id", String(32), primary_key=True),
    Column("scope", String(NAME_LENGTH), nullable=False),
    Column("started_by", String(IDENTITY_LENGTH), nullable=False),
    Column("started", UtcDateTime, nullable=False),
    Column("deadline", UtcDateTime, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Column("finished", UtcDateTime),
    Column("finished_by", String(IDENTITY_LENGTH)),
    Index("ix_access_reviews_scope", "scope", "started"),
)

review_decisions = make_table(
    # One decision about one assignment. What is carried out keeps the former state of the assignment, for the history
    # and for the undo; the assignment itself may be deleted by then.
    "review_decisions",
    Column("review_id", String(32), ForeignKey("access_reviews.id", ondelete="CASCADE"), primary_key=True),
    Column("assignment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("identity", String(IDENTITY_LENGTH), nullable=False),
    Column("role", String(NAME_LENGTH), nullable=False),
    Column("choice", String(20), nullable=False),  # keep, shorten, remove
    Column("until", UtcDateTime),  # the new end, if it is shortened
    Column("decided_by", String(IDENTITY_LENGTH), nullable=False),
    Column("decided", UtcDateTime, nullable=False),
    Column("uses", BigInteger),
    Column("last_used", UtcDateTime),
    Column("carried_out", UtcDateTime),
    Column("carried_out_by", String(IDENTITY_LENGTH)),
    Column("former_starts", UtcDateTime),
    Column("former_ends", UtcDateTime),
    Column("former_reason", Text, nullable=False, default=""),
    Column("undone", UtcDateTime),
)
