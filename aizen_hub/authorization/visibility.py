"""What an actor may know: the people, projects and groups of their administration, and nothing else (R72)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction

_a = tables.assignments


class VisibleObjects:
    """The objects whose names the actor of a transaction may be told.

    Parameters
    ----------
    tx : ActorTransaction
    """

    def __init__(self, tx: ActorTransaction) -> None:
        self.tx = tx
        self.identity: Identity = tx.actor.identity
        self._allowed: dict[tuple[str, str], bool] = {}

    def may(self, endpoint: str, scope: str = SYSTEM) -> bool:
        """Return whether the actor has the permission of an endpoint of the catalog in a scope."""
        return self._holds(checks.endpoint_permission(self.tx, endpoint), scope)

    def may_run(self, handler: str, scope: str = SYSTEM) -> bool:
        """Return whether the actor may run the account command with this handler in a scope."""
        permission = checks.command_permission(self.tx, handler)
        return permission is None or self._holds(permission, scope)

    def _holds(self, permission: str, scope: str) -> bool:
        key = permission, scope
        if key not in self._allowed:
            self._allowed[key] = checks.is_allowed(self.tx, permission, scope)
        return self._allowed[key]

    @cached_property
    def sees_all(self) -> bool:
        """Whether all users, groups and projects are visible: the actor manages users, or reads all access."""
        return self.may("users") or self.may("access")

    @cached_property
    def managed_projects(self) -> frozenset[str]:
        """Projects whose access the actor may read by a role in the project itself, such as their admin's."""
        scopes = {
            held.scope
            for held in self.tx.rights(self.identity).held_roles
            if held.scope != SYSTEM and held.is_effective(self.tx.now)
        }
        return frozenset(scope for scope in scopes if self.may("access", scope))

    @cached_property
    def projects(self) -> frozenset[str] | None:
        """The projects whose access the actor may read; None: all."""
        return None if self.sees_all else self.managed_projects

    @cached_property
    def people(self) -> frozenset[str] | None:
        """Names of the visible users: the members of the managed projects, the actor included; None: all."""
        if self.projects is None:
            return None
        return frozenset(member.name for member in self.members if member.kind is IdentityKind.USER)

    @cached_property
    def groups(self) -> frozenset[str] | None:
        """Names of the visible groups: the actor's own, and those with a role in the managed projects; None: all."""
        if self.projects is None:
            return None
        own = checks.transitive_groups(self.tx, self.identity)
        return frozenset(member.name for member in {*self.members, *own} if member.kind is IdentityKind.GROUP)

    @cached_property
    def service_accounts(self) -> frozenset[str] | None:
        """Names of the visible service accounts: those with access to the managed projects; None: all."""
        if self.projects is None:
            return None
        return frozenset(member.name for member in self.members if member.kind is IdentityKind.SERVICE_ACCOUNT)

    @cached_property
    def members(self) -> frozenset[Identity]:
        """The actor, and every identity with a role in a managed project, its own or through a group."""
        scopes = sorted(self.managed_projects)
        query = select(_a.c.identity).where(_a.c.scope.in_(scopes)).distinct()
        assigned = [Identity.parse(text) for text in self.tx.conn.execute(query).scalars()] if scopes else []
        return checks.transitive_members(self.tx, [self.identity, *assigned])
