"""Ways to allow what was refused, those with the least extra power first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.authorization.queries.role_coverage import allowed_commands
from aizen_hub.catalogs.catalog import CommandEntry
from aizen_hub.rbac.default_denials import any_covers, delegated_roles
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import is_assignable
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, permissions_of_role
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction

ONE_TIME = timedelta(hours=4)
"""How long the one-time grant of a refusal lasts."""
MAX_ROLES = 6
MAX_GROUPS = 3
_a = tables.assignments


class WayKind(StrEnum):
    """What would allow it."""

    ONE_TIME = "one-time"
    ROLE = "role"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class WayToAllow:
    """One change that would allow a request.

    Attributes
    ----------
    role, scope : str
        The role that would allow it, and where it has to be given.
    group : Identity or None
        The group that has the role, for a membership.
    adds : tuple of CommandEntry
        The commands that the identity could run in addition, the requested one among them.
    delegates : tuple of str
        The roles that the identity could give or take away in addition.
    grantors : tuple of str
        Some users who could do it; the identity itself is never one of them.
    may_grant : bool
        The actor could do it.
    """

    kind: WayKind
    role: str
    scope: str
    group: Identity | None
    adds: tuple[CommandEntry, ...]
    delegates: tuple[str, ...]
    grantors: tuple[str, ...]
    may_grant: bool

    @property
    def power(self) -> tuple[int, int]:
        """How much it adds, to sort by."""
        return (len(self.adds), len(self.delegates))


def find_ways(tx: ActorTransaction, permission: Permission, scope: str, identity: Identity) -> list[WayToAllow]:
    """Return what would allow ``permission`` to an identity in a scope, without an authorization check.

    Roles that could never be given to it are left out, and so are those beyond the `MAX_ROLES` with least power. The
    first role is also offered for a few hours. Groups are named only to actors who may read access in the scope.
    """
    roles = sorted(_roles(tx, permission, scope, identity), key=lambda way: (way.scope == SYSTEM, way.power))
    ways = [_with_grantors(tx, way, identity) for way in roles[:MAX_ROLES]]
    ways = [way for way in ways if way.grantors or way.may_grant]
    if checks.is_allowed(tx, checks.endpoint_permission(tx, "access"), scope):
        ways += _groups(tx, permission, scope, identity)
    ways.sort(key=lambda way: (way.kind is WayKind.GROUP, way.scope == SYSTEM, way.power))
    if ways and ways[0].kind is WayKind.ROLE:
        first = ways[0]
        one_time = WayToAllow(
            WayKind.ONE_TIME,
            first.role,
            first.scope,
            None,
            first.adds,
            first.delegates,
            first.grantors,
            first.may_grant,
        )
        ways.insert(0, one_time)
    return ways


def added_commands(
    tx: ActorTransaction, role: Role, role_scope: str, identity: Identity, scope: str
) -> tuple[CommandEntry, ...]:
    """Return the commands that an identity could run in ``scope`` with a further role."""
    present = effective_permissions(tx.rights(identity), scope, tx.now)
    kind = ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT
    names = {entry.name for entry in allowed_commands(tx.catalog, present, kind)}
    added = permissions_of_role(role, role_scope, tx.catalog.member_permissions)
    return tuple(entry for entry in allowed_commands(tx.catalog, added, kind) if entry.name not in names)


def _roles(tx: ActorTransaction, permission: Permission, scope: str, identity: Identity) -> Iterator[WayToAllow]:
    delegated = _delegated(tx, identity, scope)
    for role in tx.roles.values():
        for role_scope in dict.fromkeys((scope, SYSTEM)):
            permissions = permissions_of_role(role, role_scope, tx.catalog.member_permissions)
            if is_assignable(role, role_scope, identity) and any_covers(permissions, permission):
                adds = added_commands(tx, role, role_scope, identity, scope)
                new = tuple(sorted(delegated_roles(role) - delegated))
                yield WayToAllow(WayKind.ROLE, role.name, role_scope, None, adds, new, (), False)
                break


def _with_grantors(tx: ActorTransaction, way: WayToAllow, identity: Identity) -> WayToAllow:
    grantors = who_can_grant(tx, way.role, way.scope, recipient=identity, besides=(identity,))
    may_grant = not GrantAuthority.of_actor(tx).missing_to_grant(tx, tx.roles[way.role], way.scope, identity)
    return WayToAllow(way.kind, way.role, way.scope, None, way.adds, way.delegates, grantors, may_grant)


def _groups(tx: ActorTransaction, permission: Permission, scope: str, identity: Identity) -> Iterator[WayToAllow]:
    """Yield groups without this identity that have a role which would do, those with the least such role first."""
    own = {str(group) for group in checks.transitive_groups(tx, identity)}
    rows = tx.conn.execute(
        select(_a.c.identity, _a.c.role)
        .where(_a.c.scope == scope, _a.c.identity.like("group:%"), or_(_a.c.ends.is_(None), _a.c.ends > tx.now))
        .order_by(_a.c.identity)
        .limit(100)
    ).all()
    ways: list[WayToAllow] = []
    for row in rows:
        role = tx.roles.get(row.role)
        if row.identity in own or role is None or not is_assignable(role, scope, identity):
            continue
        if any_covers(permissions_of_role(role, scope, tx.catalog.member_permissions), permission):
            adds = added_commands(tx, role, scope, identity, scope)
            ways.append(WayToAllow(WayKind.GROUP, role.name, scope, Identity.parse(row.identity), adds, (), (), False))
    yield from sorted(ways, key=lambda way: way.power)[:MAX_GROUPS]


def _delegated(tx: ActorTransaction, identity: Identity, scope: str) -> frozenset[str]:
    held_roles = (held for held in tx.rights(identity).held_roles if held.scope in (scope, SYSTEM))
    return frozenset[str]().union(
        *(delegated_roles(tx.roles[held.role]) for held in held_roles if held.is_effective(tx.now))
    )
