"""Roles: named containers of permissions and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from aizen_hub.rbac.identity import Kind
from aizen_hub.rbac.permission import Permission

SYSTEM = "system"
"""The scope above all projects. A project of this name cannot exist."""


def project_of(scope: str | None) -> str | None:
    """Return the project that a scope is; None for the system, and for no scope."""
    return None if scope == SYSTEM else scope


class ScopeKind(StrEnum):
    SYSTEM = "system"
    PROJECT = "project"


class LimitKind(StrEnum):
    """The countable things; memory in bytes, cpu in cores (a float), the others as counts."""

    PROJECTS = "projects"
    JOBS = "jobs"
    MEMORY = "memory"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Role:
    """A role as the engine sees it.

    Attributes
    ----------
    name : str
        Unique over built-in and custom roles.
    permissions : frozenset of Permission
        Union over all roles a person holds.
    limits : mapping of LimitKind to float
        The strictest over all roles a person holds wins.
    scopes : frozenset of ScopeKind
        Where it may be assigned.
    gives, takes : frozenset of str
        Roles a holder may grant to, or revoke from, others although the holder lacks their rights.
    gives_self : frozenset of str
        The part of ``gives`` and ``takes`` that a holder may also apply to themselves.
    gives_in_file, takes_in_file : frozenset of str
        Roles a holder may give and take only through the users file.
    holders : frozenset of Kind
        Which kinds of identity it may be given to; to any other it gives nothing, not even through a group. Dangerous
        rights such as impersonation are kept off human users this way.
    hands_on : bool
        Its holders may give and take every role whose rights they hold, without ``grant:roles``.
    table_only : bool
        Given and taken only by holders of a role that names it in the sets above; for every other role it is enough to
        hold ``grant:roles`` and all that the role gives (R66).
    built_in : bool
        From the catalog; cannot be changed or deleted (R75).
    protected : bool
        Cannot lose its last holder in its scope (R69).
    confirmed : bool
        Giving or taking it waits for confirmation when it comes from a kernel or the command line.
    """

    name: str
    permissions: frozenset[Permission] = frozenset()
    limits: Mapping[LimitKind, float] = field(default_factory=lambda: MappingProxyType({}))
    scopes: frozenset[ScopeKind] = frozenset(ScopeKind)
    gives: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    gives_self: frozenset[str] = frozenset()
    gives_in_file: frozenset[str] = frozenset()
    takes_in_file: frozenset[str] = frozenset()
    holders: frozenset[Kind] = frozenset(Kind)
    hands_on: bool = False
    table_only: bool = False
    built_in: bool = False
    protected: bool = False
    confirmed: bool = False
    description: str = ""
    category: str = ""


def role_gives(role: Role, scope: str, member_permissions: frozenset[Permission]) -> frozenset[Permission]:
    """Return what ``role`` gives where it is assigned in ``scope``; a role without permissions gives nothing at all."""
    if scope == SYSTEM or not role.permissions:
        return role.permissions
    return role.permissions | member_permissions


def fits(role: Role, scope: str) -> bool:
    """Tell whether ``role`` may be assigned in ``scope``."""
    return (ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT) in role.scopes
