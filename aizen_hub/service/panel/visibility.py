"""What a viewer of the panel may see: the people, projects and changes of their administration, and nothing else (R72).

Whatever a page lists, counts or suggests is restricted by this; what a change needs is checked where it is made.
"""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.reviews import lifecycle
from aizen_hub.accounts.roles import access_requests
from aizen_hub.accounts.service_accounts import second_person
from aizen_hub.authorization import checks
from aizen_hub.authorization.visibility import VisibleObjects
from aizen_hub.commands.result import Result
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

MAX_COUNTED = 99
"""The highest number in a badge."""
_a = tables.assignments


class Viewer(VisibleObjects):
    """The user who opens a page, within the transaction that reads it.

    Parameters
    ----------
    tx : ActorTransaction
        Its actor is the viewer.
    """

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
    def controls_accounts(self) -> bool:
        """Whether the viewer controls a service account, which they may see for that alone."""
        accounts = tables.service_accounts
        query = select(accounts.c.id).where(accounts.c.controller == str(self.identity)).limit(1)
        return self.tx.conn.execute(query).first() is not None

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
        return self.projects is None or Identity.group(group) in self.members or self.may("groups")

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
    def pending_count(self) -> int:
        """Requests and pending changes that wait for the viewer, at most 99."""
        return min(MAX_COUNTED, len(self.decidable_requests.rows) + len(self.pending_changes(limit=MAX_COUNTED).rows))

    @cached_property
    def review_count(self) -> int:
        """Open reviews of access that the viewer has to do, at most 99.

        That of the system, and those of the projects in which they have a role: the reviews of all other projects are
        for the admins of these, also where the viewer may read all access.
        """
        if not self.is_manager:
            return 0
        scopes = {held.scope for held in self.tx.rights(self.identity).held_roles if held.is_effective(self.tx.now)}
        open_scopes = lifecycle.list_open_scopes(self.tx, {SYSTEM, *scopes}, MAX_COUNTED)
        return sum(self.may("access", scope) for scope in open_scopes)


def not_in_panel() -> NotFound:
    """Return the problem of a page about what does not exist, or what its viewer may not see: the same for both."""
    return NotFound("there is no such page for you", remedy="check the spelling, or search for the name")
