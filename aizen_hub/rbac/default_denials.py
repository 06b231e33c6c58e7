"""Cached denials for identities without any assignment that comes near; they do not depend on the identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.messages import deny, describe_scope
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in, permissions_of_role

MAX_ENTRIES = 4_096


class DenialCache(dict[tuple[str, str, str], Decision]):
    """Maps scope, verb and noun to a denial; bounded (R127).

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
        self._least: dict[tuple[Permission, bool], str | None] = {}

    def __missing__(self, key: tuple[str, str, str]) -> Decision:
        scope, verb, noun = key
        permission = Permission(verb, noun)
        least = self._least_role(permission, scope)
        decision = deny(
            Reason.NO_ASSIGNMENT,
            role=least,
            remedy=f"; {least} would" if least else "",
            permission=permission,
            where=describe_scope(scope),
        )
        _clear_if_full(self)
        self[key] = decision
        return decision

    def _least_role(self, permission: Permission, scope: str) -> str | None:
        kind = (permission, scope == SYSTEM)
        try:
            return self._least[kind]
        except KeyError:
            least = least_role(self.roles, permission, scope, self._member_permissions)
            _clear_if_full(self._least)
            self._least[kind] = least
            return least


def _clear_if_full(table: dict[Any, Any]) -> None:
    if len(table) >= MAX_ENTRIES:
        table.clear()


def least_role(
    roles: Mapping[str, Role],
    permission: Permission,
    scope: str,
    member_permissions: frozenset[Permission] = frozenset(),
) -> str | None:
    """Return the first role, in catalog order, that includes ``permission`` in ``scope``."""
    for candidate_scope in (scope, SYSTEM):
        for role in roles.values():
            if is_assignable_in(role, candidate_scope) and any_covers(
                permissions_of_role(role, candidate_scope, member_permissions), permission
            ):
                return role.name
    return None


def any_covers(held: frozenset[Permission], requested: Permission) -> bool:
    """Return whether one of the permissions ``held`` covers ``requested``."""
    return not held.isdisjoint(requested.covering())
