"""Schemas for commands, decisions, the requesting identity and the catalog."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from aizen_hub.api_models.schema import Name, ResponseModel, Schema, Timestamp

MAX_TEXT = 8 << 10
MAX_FILE = 1 << 20
MAX_FILES = 8
MAX_DAYS = 8
Day = Annotated[str, Field(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|eod)$")]


class CommandText(Schema):
    """One command line, with the content of the files it names (R111).

    ``project`` is for principals without a session; a session has its own. ``day_ends`` says when a day that the line
    names as an end, or ``eod``, ends in the caller's time zone; without it days are those of UTC.
    """

    text: Annotated[str, Field(max_length=MAX_TEXT)]
    project: Name | None = None
    files: Annotated[dict[Name, Annotated[str, Field(max_length=MAX_FILE)]], Field(max_length=MAX_FILES)] | None = None
    day_ends: Annotated[dict[Day, Timestamp], Field(max_length=MAX_DAYS)] | None = None


class DecisionRequestBody(Schema):
    """Either a command line, or a permission in a project."""

    command: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    permission: Annotated[str, Field(max_length=160)] | None = None
    project: Name | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> DecisionRequestBody:
        if (self.command is None) == (self.permission is None):
            raise ValueError("give either `command` or `permission`")
        if self.command is not None and self.project is not None:
            raise ValueError("`project` goes with `permission`; a command names its project or runs in the session's")
        return self


class DecisionView(ResponseModel):
    id: str
    allowed: bool
    reason: str
    sentence: str
    revision: int
    assignment: str | None = None
    role: str | None = None
    at: str | None = None


class DecisionResponse(ResponseModel):
    decision: DecisionView


class CommandResponse(ResponseModel):
    id: str
    canonical: str
    decision: DecisionView
    result: dict[str, Any]


class CommandStateView(ResponseModel):
    id: str
    canonical: str
    state: str
    result: dict[str, Any] | None = None


class HeldRoleView(ResponseModel):
    role: str
    scope: str
    via: list[str]
    until: str | None = None


class MeView(ResponseModel):
    user: str
    display_name: str
    session: str | None
    project: str | None
    roles: list[HeldRoleView]
    limits: dict[str, Any]
    expires_at: str | None


class CatalogCommand(ResponseModel):
    command: str
    group: str
    permission: str | None
    scope: str
    grammar: str
    description: str
    only_reads: bool


class CatalogView(ResponseModel):
    name: str
    version: str
    hash: str
    roles: list[dict[str, Any]]
    commands: list[CatalogCommand]
