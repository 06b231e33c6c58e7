"""Questions about access, and the audit."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.service.api.schemas.access import IdentityText, Scope
from aizen_hub.service.http.schema import Moment, Name, Schema

PermissionText = Annotated[str, Field(min_length=1, max_length=160)]


class CanI(Schema):
    permission: PermissionText
    scope: Scope = "system"
    identity: IdentityText | None = None


class WhoCan(Schema):
    permission: PermissionText
    scope: Scope = "system"


class SupposedAssignment(Schema):
    role: Name
    scope: Scope
    identity: IdentityText


class WhatIf(Schema):
    permission: PermissionText
    scope: Scope = "system"
    identity: IdentityText
    assignments: Annotated[list[SupposedAssignment], Field(max_length=50)] = Field(default=[])
    groups: Annotated[list[Name], Field(max_length=50)] = Field(default=[])
    at: Moment | None = None


class ProjectsOf(Schema):
    identity: IdentityText | None = None


class AuditQuery(Schema):
    identity: IdentityText | None = None
    project: Name | None = None
    event: Annotated[str, Field(max_length=40, pattern=r"^[a-z][a-z0-9.-]*$")] | None = None
    id: Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Za-z-]+$")] | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
