"""Two people side by side: what one has and the other lacks, and what of it could be given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.queries.effective_access import HeldAccess, list_access
from aizen_hub.authorization.queries.role_coverage import allowed_commands
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, ScopeKind, permissions_of_role
from aizen_hub.service.panel.identity_rows import parents_of

if TYPE_CHECKING:
    from aizen_hub.rbac.permission import Permission
    from aizen_hub.service.panel.visibility import Viewer
    from aizen_hub.store.transaction import ReadTransaction

MAX_SCOPES = 200
"""Scopes that are compared; where there are more, the page says so."""


@dataclass(frozen=True, slots=True)
class ComparedRole:
    """One role in one scope; ``mine`` and ``theirs`` are its sources, None where someone does not have it.

    Attributes
    ----------
    adds : int
        Commands that the first person would gain with it in this scope.
    may_grant : bool
        Whether the viewer may give it to the first person.
    """

    role: str
    scope: str
    mine: HeldAccess | None
    theirs: HeldAccess | None
    adds: int
    may_grant: bool


@dataclass(frozen=True, slots=True)
class ScopeDifference:
    """How many commands of one scope only one of two people may run."""

    scope: str
    only_mine: int
    only_theirs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two people have, as far as the viewer may see it."""

    roles: tuple[ComparedRole, ...]
    commands: tuple[ScopeDifference, ...]
    groups: tuple[tuple[str, str | None, bool, bool], ...]
    is_complete: bool

    @property
    def only_theirs(self) -> int:
        return sum(scope.only_theirs for scope in self.commands)

    @property
    def only_mine(self) -> int:
        return sum(scope.only_mine for scope in self.commands)


def compare_people(viewer: Viewer, mine: Identity, theirs: Identity) -> Comparison:
    """Compare two people, both of whom the viewer may see."""
    tx = viewer.tx
    pages = [list_access(tx, person, projects=viewer.projects, limit=MAX_SCOPES) for person in (mine, theirs)]
    held = [
        {(role.scope, role.role): role for scope in page.scopes for role in reversed(scope.roles)} for page in pages
    ]
    scopes = sorted({scope for scope, _ in (*held[0], *held[1])}, key=lambda scope: (scope != SYSTEM, scope))
    authority = GrantAuthority.of_actor(tx)
    first, second = (
        {scope: _commands_of(tx, effective_permissions(tx.rights(person), scope, tx.now), scope) for scope in scopes}
        for person in (mine, theirs)
    )
    roles = []
    for scope, name in sorted({*held[0], *held[1]}, key=lambda key: (key[0] != SYSTEM, key)):
        role = tx.roles[name]
        given = _commands_of(tx, permissions_of_role(role, scope, tx.catalog.member_permissions), scope)
        is_lacking = (scope, name) not in held[0]
        may_grant = is_lacking and not authority.missing_to_grant(tx, role, scope, mine)
        adds = len(given - first[scope])
        roles.append(ComparedRole(name, scope, held[0].get((scope, name)), held[1].get((scope, name)), adds, may_grant))
    commands = tuple(
        ScopeDifference(scope, len(first[scope] - second[scope]), len(second[scope] - first[scope])) for scope in scopes
    )
    return Comparison(
        tuple(roles), commands, _compare_groups(viewer, mine, theirs), not any(page.next_scope for page in pages)
    )


def _commands_of(tx: ReadTransaction, permissions: frozenset[Permission], scope: str) -> frozenset[str]:
    kind = ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT
    return frozenset(entry.name for entry in allowed_commands(tx.catalog, permissions, kind))


def _compare_groups(viewer: Viewer, mine: Identity, theirs: Identity) -> tuple[tuple[str, str | None, bool, bool], ...]:
    """Return the visible groups that directly contain one of two people: name, provider, and whom it contains."""
    rows = {row.name: row for person in (mine, theirs) for row in parents_of(viewer.tx, person)}
    names = [{row.name for row in parents_of(viewer.tx, person)} for person in (mine, theirs)]
    visible = [name for name in sorted(rows) if viewer.sees(Identity.group(name))]
    return tuple((name, rows[name].provider, name in names[0], name in names[1]) for name in visible)
