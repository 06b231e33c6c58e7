"""Roles whose grant or revocation requires confirmation, including custom roles (R66, R77)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in, permissions_of_role


def role_requires_confirmation(
    role: Role, scope: str, roles: Mapping[str, Role], member_permissions: frozenset[Permission]
) -> bool:
    """Return whether granting or revoking ``role`` in ``scope`` has to be confirmed.

    For built-in roles the catalog decides. A custom role requires confirmation if it includes a permission that only
    built-in roles with confirmation include, so that a full or partial copy of such a role is protected like it.

    Parameters
    ----------
    roles : mapping of str to Role
        All roles that exist.
    """
    if role.built_in or role.requires_confirmation:
        return role.requires_confirmation
    candidates = [
        candidate
        for candidate in roles.values()
        if candidate.built_in and (is_assignable_in(candidate, scope) or is_assignable_in(candidate, SYSTEM))
    ]
    protected = _permissions_of((r for r in candidates if r.requires_confirmation), scope, member_permissions)
    unprotected = _permissions_of((r for r in candidates if not r.requires_confirmation), scope, member_permissions)
    common = (
        _intersection(own_permission, protected_permission)
        for own_permission in permissions_of_role(role, scope, member_permissions)
        for protected_permission in protected
    )
    return any(permission is not None and not any_covers(unprotected, permission) for permission in common)


def _permissions_of(
    roles: Iterable[Role], scope: str, member_permissions: frozenset[Permission]
) -> frozenset[Permission]:
    return frozenset(
        permission for role in roles for permission in permissions_of_role(role, scope, member_permissions)
    )


def _intersection(left: Permission, right: Permission) -> Permission | None:
    """Return the permission that both cover, or None."""
    verb, noun = _common_word(left.verb, right.verb), _common_word(left.noun, right.noun)
    return None if verb is None or noun is None else Permission(verb, noun)


def _common_word(left: str, right: str) -> str | None:
    if left == ANY:
        return right
    return left if right in (ANY, left) else None
