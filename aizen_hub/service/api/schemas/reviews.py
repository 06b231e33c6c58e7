"""Schemas of reviews of access."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.accounts.reviews.choices import FillRule
from aizen_hub.accounts.reviews.rows import Choice, RowFilter
from aizen_hub.api_models.schema import Label, Name, Note, Schema, Timestamp
from aizen_hub.service.api.schemas.access import Scope

_Assignment = Annotated[int, Field(ge=1, le=1 << 62)]


class ReviewsQuery(Schema):
    scope: Scope


class NewReview(Schema):
    """A review; without a deadline it is due in two weeks."""

    scope: Scope
    deadline: Timestamp | None = None
    note: Note = ""


class ReviewRowsQuery(Schema):
    show: RowFilter = RowFilter.ALL
    text: Label = ""
    role: Name | None = None


class ReviewDecision(Schema):
    """One decision; a null ``choice`` takes an earlier one back, ``until`` is the new end of what is shortened."""

    assignment: _Assignment
    choice: Choice | None
    until: Timestamp | None = None


class ReviewDecisions(Schema):
    decisions: Annotated[list[ReviewDecision], Field(min_length=1, max_length=500)]


class ReviewRule(Schema):
    rule: FillRule
    until: Timestamp | None = None


class ReviewUndo(Schema):
    """What to undo; without assignments everything."""

    assignments: Annotated[list[_Assignment], Field(max_length=500)] | None = None


class UnusedAccessQuery(Schema):
    scope: Scope = "system"
