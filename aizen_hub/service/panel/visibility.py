"""What a viewer of the panel may see: the people, projects and changes of their administration, and nothing else (R72).

Whatever a page lists, counts or suggests is restricted by this; what a change needs is checked where it is made.
"""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import access_requests
from aizen_hub.accounts.service_accounts import second_person
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction

MAX_COUNTED = 99
"""The highest number in a badge."""
_a = tables.assignments


class Viewer:
    """The user who opens a page, within the transaction that reads it.

    Parameters
    ----------
    tx : ActorTransaction
        Its actor is the viewer.
    """

    def __init__(self, tx: ActorTransaction) -> None:
        self.tx = tx
        self.identity: Identity = tx.actor.identity
        self._allowed: dict[tuple[str, str], bool] = {}

    def may(self, endpoint: str, scope: str = SYSTEM) -> bool:
        """Return whether the viewer has the permission of an endpoint of the catalog in a scope."""
        return self._holds(checks.endpoint_permission(self.tx, endpoint), scope)

    def may_run(self, handler: str, scope: str = SYSTEM) -> bool:
        """Return whether the viewer may run the account command with this handler in a scope."""
        permission = checks.command_permission(self.tx, handler)
        return permission is None or self._holds(permission, scope)

    def _holds(self, permission: str, scope: str) -> bool:
        key = permission, scope
        if key not in self._allowed:
            self._allowed[key] = checks.is_allowed(self.tx, permission, scope)
        return self._allowed[key]

    @cached_property
    def sees_all(self) -> bool:
        """Whether all users, groups and projects are visible: the viewer manages users, or reads all access."""
        return self.may("users") or self.may("access")

    @cached_property
    def managed_projects(self) -> frozenset[str]:
        """Projects whose access the viewer may read by a role in the project itself, such as their admin's."""
        scopes = {
            held.scope
            for held in self.tx.rights(self.identity).held_roles
            if held.scope != SYSTEM and held.is_effective(self.tx.now)
        }
        return frozenset(scope for scope in scopes if self.may("access", scope))

    @cached_property
    def projects(self) -> frozenset[str] | None:
        """The projects whose access the viewer may read; None: all."""
        return None if self.sees_all else self.managed_projects

    @cached_property
    def is_manager(self) -> bool:
        """Whether the viewer manages something: the group *Manage* and the page *Home* are for them."""
        return self.sees_all or bool(self.managed_projects)

    def sees_project(self, project: str) -> bool:
        """Return whether the viewer may read who has access to a project; it need not exist."""
        return self.projects is None or project in self.projects

    def require_project(self, project: str) -> None:
        """Raise the same NotFound for a project that does not exist and for one that the viewer may not see."""
        if not (self.sees_project(project) and checks.project_exists(self.tx, project)):
            raise not_in_panel()

    @cached_property
    def people(self) -> frozenset[str] | None:
        """Names of the users whom the viewer may see: the members of their projects, themselves included; None: all."""
        if self.projects is None:
            return None
        return frozenset(member.name for member in self._members if member.kind is IdentityKind.USER)

    @cached_property
    def groups(self) -> frozenset[str] | None:
        """Names of the visible groups: their own, and those with a role in their projects; None: all."""
        if self.projects is None:
            return None
        own = checks.transitive_groups(self.tx, self.identity)
        return frozenset(member.name for member in {*self._members, *own} if member.kind is IdentityKind.GROUP)

    @cached_property
    def service_accounts(self) -> frozenset[str] | None:
        """Names of the service accounts that the viewer may see: those with access to their projects; None: all."""
        if self.projects is None:
            return None
        return frozenset(member.name for member in self._members if member.kind is IdentityKind.SERVICE_ACCOUNT)

    @cached_property
    def controls_accounts(self) -> bool:
        """Whether the viewer controls a service account, which they may see for that alone."""
        accounts = tables.service_accounts
        query = select(accounts.c.id).where(accounts.c.controller == str(self.identity)).limit(1)
        return self.tx.conn.execute(query).first() is not None

    @cached_property
    def _members(self) -> frozenset[Identity]:
        scopes = sorted(self.managed_projects)
        query = select(_a.c.identity).where(_a.c.scope.in_(scopes)).distinct()
        assigned = [Identity.parse(text) for text in self.tx.conn.execute(query).scalars()] if scopes else []
        return checks.transitive_members(self.tx, [self.identity, *assigned])

    def sees(self, identity: Identity) -> bool:
        """Return whether the viewer may see an identity; it need not exist."""
        names = {
            IdentityKind.USER: lambda: self.people,
            IdentityKind.GROUP: lambda: self.groups,
            IdentityKind.SERVICE_ACCOUNT: lambda: self.service_accounts,
        }[identity.kind]()
        return names is None or identity.name in names

    def sees_members(self, group: str) -> bool:
        """Return whether the viewer may read who is in a visible group; to be a member of it is not enough."""
        return self.projects is None or Identity.group(group) in self._members or self.may("groups")

    def require_identity(self, identity: Identity) -> None:
        """Raise NotFound for an identity that the viewer may not see; the page does so for one that does not exist."""
        if not self.sees(identity):
            raise not_in_panel()

    # -- what waits for the viewer -----------------------------------------------------------------------------------

    def pending_changes(self, change_id: str | None = None, limit: int = 200) -> Result:
        """List the visible pending changes: the viewer's own and confirmable ones; all, if they manage users."""
        if self.may("users"):
            return pending_changes.list_pending(self.tx, change_id=change_id, limit=limit)
        return pending_changes.list_pending(
            self.tx,
            requested_by=self.identity,
            and_these=second_person.find_confirmable(self.tx),
            change_id=change_id,
            limit=limit,
        )

    @cached_property
    def decidable_requests(self) -> Result:
        """The oldest requests for access that the viewer could grant, at most 99."""
        return access_requests.list_decidable_requests(self.tx, MAX_COUNTED)

    @cached_property
    def waiting_count(self) -> int:
        """Requests and pending changes that wait for the viewer, at most 99."""
        return min(MAX_COUNTED, len(self.decidable_requests.rows) + len(self.pending_changes(limit=MAX_COUNTED).rows))


def not_in_panel() -> NotFound:
    """Return the problem of a page about what does not exist, or what its viewer may not see: the same for both."""
    return NotFound("there is no such page for you", remedy="check the spelling, or search for the name")
