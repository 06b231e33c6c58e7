"""Which roles change hands only with confirmation, custom ones included (DESIGN, confirmation; R66, R77)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.role import SYSTEM, Role, fits, role_gives


def is_guarded(role: Role, scope: str, roles: Mapping[str, Role], member_permissions: frozenset[Permission]) -> bool:
    """Tell whether giving or taking ``role`` in ``scope`` has to be confirmed.

    Of the built-in roles the catalog says it. A custom one is guarded where it gives something that only guarded
    built-in roles give: a clone of such a role, or a part of one, is worth as much as the role itself.

    Parameters
    ----------
    roles : mapping of str to Role
        All roles that exist.
    """
    if role.built_in or role.confirmed:
        return role.confirmed
    there = [one for one in roles.values() if one.built_in and (fits(one, scope) or fits(one, SYSTEM))]
    guarded = _given((one for one in there if one.confirmed), scope, member_permissions)
    free = _given((one for one in there if not one.confirmed), scope, member_permissions)
    common = (_common(mine, theirs) for mine in role_gives(role, scope, member_permissions) for theirs in guarded)
    return any(one is not None and not covers(free, one) for one in common)


def _given(roles: Iterable[Role], scope: str, member_permissions: frozenset[Permission]) -> frozenset[Permission]:
    return frozenset(permission for one in roles for permission in role_gives(one, scope, member_permissions))


def _common(one: Permission, other: Permission) -> Permission | None:
    """Return what both permissions cover, or None."""
    verb, noun = _word(one.verb, other.verb), _word(one.noun, other.noun)
    return None if verb is None or noun is None else Permission(verb, noun)


def _word(one: str, other: str) -> str | None:
    if one == ANY:
        return other
    return one if other in (ANY, one) else None
