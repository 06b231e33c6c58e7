"""Completion of command lines and names, from what the requesting user may see."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aizen_hub.api_models.schema import Name, ResponseModel, Schema

MAX_LINE = 2_000


class CompletionsQuery(Schema):
    """Either a line, completed at ``cursor``, by default its end; or the names of one kind that begin with ``prefix``.

    Attributes
    ----------
    project : str, optional
        Instead of the session's.
    """

    line: Annotated[str, Field(max_length=MAX_LINE)] | None = None
    cursor: Annotated[int, Field(ge=0, le=MAX_LINE)] | None = None
    kind: Literal["project", "user", "group", "service-account", "role", "identity"] | None = None
    prefix: Annotated[str, Field(max_length=255)] = ""
    project: Name | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50

    @model_validator(mode="after")
    def _exactly_one(self) -> CompletionsQuery:
        if (self.line is None) == (self.kind is None):
            raise ValueError("give either `line` or `kind`")
        return self


class CompletionView(ResponseModel):
    """One completion.

    Attributes
    ----------
    text : str
        Replaces the incomplete word.
    kind : str
        ``word`` of a command, ``project``, ``user``, ``group``, ``service-account``, ``role``, ``object`` or ``key``.
    """

    text: str
    kind: str
    description: str


class CompletionsView(ResponseModel):
    """The completions; ``start`` and ``end`` are the part of the line that they replace."""

    start: int
    end: int
    completions: list[CompletionView]
    more: bool
