"""Assignments, roles, limits, locks and projects; the comment on a decision of somebody."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.schema import Label, Moment, Name, Note, Schema


def canonical_identity(text: str) -> str:
    """Return the one spelling of an identity; ValueError for text that is none."""
    found = Identity.parse(text)
    name = names.known_as(found.name, NameKind(found.kind.value))
    # What nothing can be called stays as it was typed, and is not found.
    return text if name is None else f"{found.kind}:{name}"


IdentityText = Annotated[Name, AfterValidator(canonical_identity)]
"""``user:NAME``, ``group:NAME`` or ``service-account:NAME``; any spelling becomes the canonical one (R27)."""
Scope = Name
"""``system`` or a project's name."""
LimitName = Literal["projects", "jobs", "memory", "cpu"]


class Grant(Schema):
    roles: Annotated[list[Name], Field(min_length=1, max_length=20)]
    scope: Scope | None = None
    identity: IdentityText
    starts: Moment | None = None
    ends: Moment | None = None
    reason: Note = ""


class Revocation(Schema):
    roles: Annotated[list[Name], Field(min_length=1, max_length=20)]
    scope: Scope | None = None
    identity: IdentityText
    reason: Note = ""


class AssignmentsQuery(Schema):
    identity: IdentityText | None = None
    scope: Scope | None = None
    role: Name | None = None


class NewRole(Schema):
    name: Name
    permissions: Annotated[list[Annotated[str, Field(max_length=160)]], Field(max_length=500)]
    limits: dict[LimitName, float] = Field(default={})
    scopes: list[Literal["system", "project"]] = Field(default=["project"])
    description: Note = ""
    category: Label = ""


class RoleChange(Schema):
    permissions: Annotated[list[Annotated[str, Field(max_length=160)]], Field(max_length=500)] | None = None
    limits: dict[LimitName, float] | None = None
    description: Note | None = None
    category: Label | None = None


class Clone(Schema):
    name: Name


class LimitSetting(Schema):
    """A limit on an identity in a scope; null takes it away. Memory in bytes, cpu in cores."""

    identity: IdentityText
    scope: Scope
    kind: LimitName
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


class LimitsQuery(Schema):
    identity: IdentityText | None = None
    scope: Scope = "system"


class NewLock(Schema):
    target: Literal["identity", "project", "session"]
    name: Name
    reason: Note
    ends: Moment | None = None


class Stop(Schema):
    reason: Note
    ends: Moment | None = None


class Unlock(Schema):
    target: Literal["identity", "project", "session"]
    name: Name


class TokenRevocation(Schema):
    """Whose role tokens end: those of a user, for a project, or all; only these have no name."""

    target: Literal["user", "project", "all"]
    name: Name | None = None
    reason: Note = ""


class NewProject(Schema):
    name: Name
    description: Note = ""
    members: Annotated[list[dict[str, Any]], Field(max_length=5000)] | None = None


class Members(Schema):
    """The whole of a project's users, as in `project_users_config.json`."""

    members: Annotated[list[dict[str, Any]], Field(max_length=5000)]


class Comment(Schema):
    comment: Note = ""
