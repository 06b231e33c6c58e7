"""Cached denials for identities without any assignment that comes near, with the role that would add least."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.messages import deny, describe_role, describe_scope
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in, permissions_of_role

MAX_ENTRIES = 4_096
_ANY_VERB, _ANY_NOUN = 1_000_000, 1_000  # how much more a wildcard adds than one permission


class SuggestedRole(NamedTuple):
    """A role that would allow a request, and the scope in which it has to be assigned."""

    name: str
    scope: str


class DenialKey(NamedTuple):
    """What a denial without a near assignment depends on.

    Attributes
    ----------
    kind : IdentityKind
        Some roles may be assigned to certain kinds of identity only.
    held : frozenset of (role, scope)
        What the identity has in the scope and in the system: the suggested role is the one that adds least to it.
    """

    scope: str
    verb: str
    noun: str
    kind: IdentityKind = IdentityKind.USER
    held: frozenset[tuple[str, str]] = frozenset()


class DenialCache(dict[DenialKey, Decision]):
    """Maps what a denial depends on to the denial; bounded (R127).

    Parameters
    ----------
    roles : mapping of str to Role
        All roles, from the least to the most powerful.
    member_permissions : frozenset of Permission
        Permissions that every role has in a project in addition to its own.
    """

    def __init__(self, roles: Mapping[str, Role], member_permissions: frozenset[Permission]) -> None:
        super().__init__()
        self.roles = roles
        self._member_permissions = member_permissions

    def __missing__(self, key: DenialKey) -> Decision:
        permission = Permission(key.verb, key.noun)
        least = least_role(self.roles, permission, key.scope, self._member_permissions, key.kind, key.held)
        decision = deny(
            Reason.NO_ASSIGNMENT,
            role=least.name if least else None,
            remedy=f"; {describe_role(*least, key.scope)} would" if least else "",
            permission=permission,
            where=describe_scope(key.scope),
        )
        if len(self) >= MAX_ENTRIES:
            self.clear()
        self[key] = decision
        return decision


def least_role(
    roles: Mapping[str, Role],
    permission: Permission,
    scope: str,
    member_permissions: frozenset[Permission] = frozenset(),
    kind: IdentityKind = IdentityKind.USER,
    held: Iterable[tuple[str, str]] = (),
) -> SuggestedRole | None:
    """Return the role that includes ``permission`` in ``scope`` and adds least to the roles ``held``.

    A role of the project is less than any role of the system, which gives its rights in every project. Among equal ones
    the first in catalog order is returned.

    Parameters
    ----------
    kind : IdentityKind
        Only roles that may be assigned to this kind of identity are considered.
    held : iterable of (role, scope)
        Those whose permissions apply in ``scope``.
    """
    pairs = [(roles[name], held_scope) for name, held_scope in held if name in roles]
    present = frozenset(
        permission for role, at in pairs for permission in permissions_of_role(role, at, member_permissions)
    )
    for candidate_scope in dict.fromkeys((scope, SYSTEM)):
        sizes = {
            role.name: _size(permissions_of_role(role, candidate_scope, member_permissions), present)
            + len(delegated_roles(role))
            for role in roles.values()
            if is_assignable_in(role, candidate_scope)
            and kind in role.assignable_to
            and any_covers(permissions_of_role(role, candidate_scope, member_permissions), permission)
        }
        if sizes:
            return SuggestedRole(min(sizes, key=lambda name: sizes[name]), candidate_scope)
    return None


def delegated_roles(role: Role) -> frozenset[str]:
    """Return the names of the roles that a holder may grant or revoke without having their rights."""
    return role.can_grant | role.can_revoke | role.can_grant_in_file | role.can_revoke_in_file


def _size(permissions: frozenset[Permission], present: frozenset[Permission]) -> int:
    """Return how much the permissions add to those that are present; a wildcard adds more than any number of others."""
    return sum(
        _ANY_VERB if permission.verb == ANY else _ANY_NOUN if permission.noun == ANY else 1
        for permission in permissions
        if not any_covers(present, permission)
    )


def any_covers(held: frozenset[Permission], requested: Permission) -> bool:
    """Return whether one of the permissions ``held`` covers ``requested``."""
    return not held.isdisjoint(requested.covering())
