"""Schemas for assignments, roles, limits, locks, projects and comments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.api_models.schema import Label, Name, Note, Schema, Timestamp
from aizen_hub.rbac.identity import Identity


def canonical_identity(text: str) -> str:
    """Return the canonical spelling of an identity; ValueError for text that is not an identity."""
    identity = Identity.parse(text)
    name = normalization.canonical_or_none(identity.name, NameKind(identity.kind.value))
    # An impossible name stays as it was sent, so that it is not found.
    return text if name is None else f"{identity.kind}:{name}"


IdentityText = Annotated[Name, AfterValidator(canonical_identity)]
"""``user:NAME``, ``group:NAME`` or ``service-account:NAME``; every spelling becomes the canonical one (R27)."""
Scope = Name
"""``system`` or a project's name."""
LimitName = Literal["projects", "jobs", "memory", "cpu"]


class RoleGrant(Schema):
    roles: Annotated[list[Name], Field(min_length=1, max_length=20)]
    scope: Scope | None = None
    identity: IdentityText
    starts: Timestamp | None = None
    ends: Timestamp | None = None
    reason: Note = ""


class RoleRevocation(Schema):
    roles: Annotated[list[Name], Field(min_length=1, max_length=20)]
    scope: Scope | None = None
    identity: IdentityText
    reason: Note = ""


class AssignmentsQuery(Schema):
    identity: IdentityText | None = None
    scope: Scope | None = None
    role: Name | None = None


PermissionText = Annotated[str, Field(min_length=1, max_length=160)]
"""``verb:noun``, a bare verb, or the name of a permission."""


class NewRole(Schema):
    """A custom role; without ``scopes`` it has those of the catalog's own roles if they are all of the same."""

    name: Name
    permissions: Annotated[list[PermissionText], Field(max_length=500)]
    limits: dict[LimitName, float] = Field(default={})
    scopes: list[Literal["system", "project"]] | None = None
    description: Note = ""
    category: Label = ""


class RoleUpdate(Schema):
    permissions: Annotated[list[PermissionText], Field(max_length=500)] | None = None
    limits: dict[LimitName, float] | None = None
    description: Note | None = None
    category: Label | None = None


class RoleCopy(Schema):
    name: Name


class RolePermission(Schema):
    """One permission of a role, to be assigned or removed."""

    permission: PermissionText


class NewPermission(Schema):
    """A custom permission: either a right (``verb:noun``), or a limit with its value."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    permission: PermissionText | None = None
    limit: LimitName | None = None
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    description: Note = ""


class LimitSetting(Schema):
    """A limit on an identity in a scope; null removes it. Memory in bytes, cpu in cores."""

    identity: IdentityText
    scope: Scope
    kind: LimitName
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


class LimitsQuery(Schema):
    identity: IdentityText | None = None
    scope: Scope = "system"


class NewLock(Schema):
    """A lock; with the target ``archive`` the project of that name is archived: it can only be read."""

    target: Literal["identity", "project", "archive", "session"]
    name: Name
    reason: Note
    ends: Timestamp | None = None


class UserStop(Schema):
    reason: Note
    ends: Timestamp | None = None


class LockRemoval(Schema):
    """A lock to remove, or an archived project to restore; a lock with ``ends`` ends then instead."""

    target: Literal["identity", "project", "archive", "session"]
    name: Name
    reason: Note
    ends: Timestamp | None = None


class TokenRevocation(Schema):
    """The role tokens to revoke: those of a user, for a project, or all, which has no name."""

    target: Literal["user", "project", "all"]
    name: Name | None = None
    reason: Note = ""


class NewProject(Schema):
    name: Name
    description: Note = ""
    members: Annotated[list[dict[str, Any]], Field(max_length=5000)] | None = None


class ProjectMembers(Schema):
    """All users of a project, as in `project_users_config.json`."""

    members: Annotated[list[dict[str, Any]], Field(max_length=5000)]


class Comment(Schema):
    comment: Note = ""
