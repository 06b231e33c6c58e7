"""Roles: named sets of permissions and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission

SYSTEM = "system"
"""The scope above all projects; no project can have this name."""


def project_of(scope: str | None) -> str | None:
    """Return the project of a scope; None for the system scope and for None."""
    return None if scope == SYSTEM else scope


class ScopeKind(StrEnum):
    SYSTEM = "system"
    PROJECT = "project"


class LimitKind(StrEnum):
    """What can be limited; memory in bytes, cpu in cores (a float), the others as counts."""

    PROJECTS = "projects"
    JOBS = "jobs"
    MEMORY = "memory"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Role:
    """A role as the decision engine uses it.

    Attributes
    ----------
    name : str
        Unique over built-in and custom roles.
    permissions : frozenset of Permission
        The effective permissions are the union over all roles of an identity.
    limits : mapping of LimitKind to float
        The strictest over all roles of an identity wins.
    scopes : frozenset of ScopeKind
        Where it may be assigned.
    can_grant, can_revoke : frozenset of str
        Roles that a holder may grant to, or revoke from, others without having their rights.
    can_grant_to_self : frozenset of str
        The part of ``can_grant`` and ``can_revoke`` that a holder may also apply to themselves.
    can_grant_in_file, can_revoke_in_file : frozenset of str
        Roles that a holder may grant and revoke only through the users file.
    assignable_to : frozenset of IdentityKind
        The kinds of identity it may be assigned to; for any other kind it has no effect, not even through a group.
        Dangerous rights such as impersonation are kept from human users this way.
    can_grant_held_roles : bool
        Its holders may grant and revoke every role whose rights they have, without ``grant:roles``.
    grant_table_only : bool
        Granted and revoked only by holders of a role that names it in the sets above; for every other role
        ``grant:roles`` and all rights of the role are enough (R66).
    built_in : bool
        From the catalog; cannot be changed or deleted (R75).
    protected : bool
        Cannot lose its last holder in its scope (R69).
    requires_confirmation : bool
        Granting or revoking it from a kernel or the command line becomes a pending change.
    """

    name: str
    permissions: frozenset[Permission] = frozenset()
    limits: Mapping[LimitKind, float] = field(default_factory=lambda: MappingProxyType({}))
    scopes: frozenset[ScopeKind] = frozenset(ScopeKind)
    can_grant: frozenset[str] = frozenset()
    can_revoke: frozenset[str] = frozenset()
    can_grant_to_self: frozenset[str] = frozenset()
    can_grant_in_file: frozenset[str] = frozenset()
    can_revoke_in_file: frozenset[str] = frozenset()
    assignable_to: frozenset[IdentityKind] = frozenset(IdentityKind)
    can_grant_held_roles: bool = False
    grant_table_only: bool = False
    built_in: bool = False
    protected: bool = False
    requires_confirmation: bool = False
    description: str = ""
    category: str = ""


def permissions_of_role(role: Role, scope: str, member_permissions: frozenset[Permission]) -> frozenset[Permission]:
    """Return the permissions of ``role`` when it is assigned in ``scope``; a role without permissions has none."""
    if scope == SYSTEM or not role.permissions:
        return role.permissions
    return role.permissions | member_permissions


def is_assignable_in(role: Role, scope: str) -> bool:
    """Return whether ``role`` may be assigned in ``scope``."""
    return (ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT) in role.scopes
