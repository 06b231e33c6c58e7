"""The plainest denial: nothing that somebody holds comes near. It is the same for everybody, so it is made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.messages import denied, place
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, Role, fits, role_gives

MAX_ENTRIES = 4_096


class Denials(dict[tuple[str, str, str], Decision]):
    """From scope, verb and noun to the denial under certain roles; bounded (R127).

    Parameters
    ----------
    roles : mapping of str to Role
        All roles, from the least to the greatest.
    member_permissions : frozenset of Permission
        What every role gives besides in a project.
    """

    def __init__(self, roles: Mapping[str, Role], member_permissions: frozenset[Permission]) -> None:
        super().__init__()
        self.roles = roles
        self._member_permissions = member_permissions
        self._least: dict[tuple[Permission, bool], str | None] = {}

    def __missing__(self, asked: tuple[str, str, str]) -> Decision:
        scope, verb, noun = asked
        permission = Permission(verb, noun)
        least = self._least_role(permission, scope)
        decision = denied(
            Reason.NO_ASSIGNMENT,
            role=least,
            remedy=f", such as {least}" if least else "",
            permission=permission,
            where=place(scope),
        )
        _make_room(self)
        self[asked] = decision
        return decision

    def _least_role(self, permission: Permission, scope: str) -> str | None:
        kind = (permission, scope == SYSTEM)
        try:
            return self._least[kind]
        except KeyError:
            least = least_role(self.roles, permission, scope, self._member_permissions)
            _make_room(self._least)
            self._least[kind] = least
            return least


def _make_room(table: dict[Any, Any]) -> None:
    if len(table) >= MAX_ENTRIES:
        table.clear()


def least_role(
    roles: Mapping[str, Role],
    permission: Permission,
    scope: str,
    member_permissions: frozenset[Permission] = frozenset(),
) -> str | None:
    """Return the first role, in the order of the catalog, that gives ``permission`` in ``scope``."""
    for where in (scope, SYSTEM):
        for role in roles.values():
            if fits(role, where) and covers(role_gives(role, where, member_permissions), permission):
                return role.name
    return None


def covers(given: frozenset[Permission], asked: Permission) -> bool:
    """Tell whether one of the permissions ``given`` answers for ``asked``."""
    return not given.isdisjoint(asked.coverers())
