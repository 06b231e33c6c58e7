"""Schemas for access queries and the audit search."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from aizen_hub.api_models.schema import Name, Schema, Timestamp
from aizen_hub.service.api.schemas.access import IdentityText, Scope
from aizen_hub.service.api.schemas.commands import MAX_TEXT

PermissionText = Annotated[str, Field(min_length=1, max_length=160)]


class _Question(Schema):
    """Either a permission, or a command line; the scope of a command is the project it is given in, or the system."""

    permission: PermissionText | None = None
    command: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = None
    scope: Scope = "system"

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.command is None) == (self.permission is None):
            raise ValueError("give either `command` or `permission`")
        return self


class CanIQuery(_Question):
    identity: IdentityText | None = None


class WhoCanQuery(Schema):
    permission: PermissionText
    scope: Scope = "system"


class HypotheticalAssignmentBody(Schema):
    role: Name
    scope: Scope
    identity: IdentityText


class WhatIfQuery(_Question):
    identity: IdentityText
    assignments: Annotated[list[HypotheticalAssignmentBody], Field(max_length=50)] = Field(default=[])
    groups: Annotated[list[Name], Field(max_length=50)] = Field(default=[])
    at: Timestamp | None = None


class ProjectsOfQuery(Schema):
    identity: IdentityText | None = None


class CommandsOfQuery(Schema):
    identity: IdentityText
    scope: Name = "system"


class AuditQuery(Schema):
    identity: IdentityText | None = None
    target: IdentityText | None = None
    project: Name | None = None
    event: Annotated[str, Field(max_length=40, pattern=r"^[a-z][a-z0-9.-]*$")] | None = None
    id: Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Za-z-]+$")] | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
