"""Commands and decisions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from aizen_hub.service.http.schema import Name, Open, Schema

MAX_TEXT = 8 << 10
MAX_FILE = 1 << 20
MAX_FILES = 8


class CommandText(Schema):
    """One command line, with the content of the files it names (R111).

    ``project`` is for callers without a session; a session has its own.
    """

    text: Annotated[str, Field(max_length=MAX_TEXT)]
    project: Name | None = None
    files: Annotated[dict[Name, Annotated[str, Field(max_length=MAX_FILE)]], Field(max_length=MAX_FILES)] | None = None


class Question(Schema):
    """Either a command line, or a permission in a project."""

    command: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    permission: Annotated[str, Field(max_length=160)] | None = None
    project: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Question:
        if (self.command is None) == (self.permission is None):
            raise ValueError("give either `command` or `permission`")
        if self.command is not None and self.project is not None:
            raise ValueError("`project` goes with `permission`; a command names its project or runs in the session's")
        return self


class DecisionView(Open):
    id: str
    allowed: bool
    reason: str
    sentence: str
    revision: int
    assignment: str | None = None
    role: str | None = None
    at: str | None = None


class DecisionReply(Open):
    decision: DecisionView


class CommandAnswer(Open):
    id: str
    canonical: str
    decision: DecisionView
    result: dict[str, Any]


class CommandState(Open):
    id: str
    canonical: str
    state: str
    result: dict[str, Any] | None = None


class HeldRole(Open):
    role: str
    scope: str
    via: list[str]


class Me(Open):
    user: str
    display_name: str
    session: str | None
    project: str | None
    roles: list[HeldRole]
    limits: dict[str, Any]
    expires_at: str | None


class CatalogCommand(Open):
    command: str
    group: str
    permission: str | None
    scope: str
    grammar: str
    description: str


class CatalogView(Open):
    name: str
    version: str
    hash: str
    roles: list[dict[str, Any]]
    commands: list[CatalogCommand]
