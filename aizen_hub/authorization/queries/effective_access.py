"""What an identity has in each scope, and the source of each role: who gave it, when, why, and through which group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.rbac.rights import HeldRole, Rights
    from aizen_hub.store.transaction import ReadTransaction

_a, _uses = tables.assignments, tables.assignment_uses


class AccessState(StrEnum):
    """Whether a role has an effect now."""

    EFFECTIVE = "effective"
    LATER = "later"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class HeldAccess:
    """One role of an identity in one scope, from one source.

    Attributes
    ----------
    via : tuple of Identity
        The groups it comes through, outermost last; empty for a role of its own.
    ends : datetime or None
        When the assignment ends. A membership of a directory group is renewed, so its age is no end.
    confirmed_until : datetime or None
        As `HeldRole.confirmed_until`.
    creator : bool
        Given to the creator of the project.
    mapped : bool
        Given by a mapping rule.
    last_used : datetime or None
        When a decision was last allowed by this assignment; shared by everyone who has it through a group.
    """

    assignment_id: int
    role: str
    scope: str
    via: tuple[Identity, ...]
    state: AccessState
    granted_by: str
    granted: datetime
    reason: str
    starts: datetime | None
    ends: datetime | None
    confirmed_until: datetime | None
    creator: bool
    mapped: bool
    last_used: datetime | None

    @property
    def is_direct(self) -> bool:
        return not self.via


@dataclass(frozen=True, slots=True)
class ScopeAccess:
    """All roles of an identity in one scope."""

    scope: str
    roles: tuple[HeldAccess, ...]


@dataclass(frozen=True, slots=True)
class EffectiveAccess:
    """A page of what an identity has, the system first and then the projects by name.

    Attributes
    ----------
    role_count, project_count : int
        Of all pages.
    next_scope : str or None
        After which scope the next page begins.
    """

    scopes: tuple[ScopeAccess, ...]
    role_count: int
    project_count: int
    next_scope: str | None


def list_access(
    tx: ReadTransaction,
    identity: Identity,
    *,
    projects: frozenset[str] | None = None,
    after: str | None = None,
    limit: int = 50,
) -> EffectiveAccess:
    """List what an identity has, without an authorization check.

    Parameters
    ----------
    projects : frozenset of str or None
        The projects whose roles the reader may see; None: all, and those of the system.
    after : str or None
        `EffectiveAccess.next_scope` of the page before.
    limit : int
        Scopes of one page.
    """
    rights = tx.rights(identity)
    held_roles = [
        held
        for held in rights.held_roles
        if (projects is None or held.scope in projects) and (held.interval.ends is None or held.interval.ends > tx.now)
    ]
    scopes = sorted({held.scope for held in held_roles}, key=_scope_order)
    later = scopes if after is None else [scope for scope in scopes if _scope_order(scope) > _scope_order(after)]
    shown = later[:limit]
    rows = _describe(tx, rights, [held for held in held_roles if held.scope in set(shown)])
    return EffectiveAccess(
        tuple(ScopeAccess(scope, tuple(rows[scope])) for scope in shown),
        len(held_roles),
        len(set(scopes) - {SYSTEM}),
        shown[-1] if len(later) > limit else None,
    )


def list_granted_access(
    tx: ReadTransaction, identity: Identity, *, projects: frozenset[str] | None
) -> tuple[HeldAccess, ...]:
    """List the roles assigned to an identity itself, such as those that a group gives to its members."""
    access = list_access(tx, identity, projects=projects, limit=len(tx.rights(identity).held_roles) + 1)
    return tuple(held for scope in access.scopes for held in scope.roles if held.is_direct)


def _scope_order(scope: str) -> tuple[bool, str]:
    return (scope != SYSTEM, scope)


def _describe(tx: ReadTransaction, rights: Rights, held_roles: Sequence[HeldRole]) -> dict[str, list[HeldAccess]]:
    assignments = _read_assignments(tx, sorted({int(held.assignment_id) for held in held_roles}))
    order = {name: index for index, name in enumerate(tx.roles)}
    result: defaultdict[str, list[HeldAccess]] = defaultdict(list)
    for held in sorted(held_roles, key=lambda held: (order.get(held.role, 0), len(held.via), held.via)):
        row = assignments[int(held.assignment_id)]
        result[held.scope].append(
            HeldAccess(
                row.id,
                held.role,
                held.scope,
                held.via,
                _state(tx, rights, held),
                row.granted_by,
                row.granted,
                row.reason,
                row.starts,
                row.ends,
                held.confirmed_until,
                row.creator,
                row.mapped,
                row.last_used,
            )
        )
    return result


def _read_assignments(tx: ReadTransaction, ids: Sequence[int]) -> dict[int, Any]:
    query = select(_a, _uses.c.last_used).outerjoin(_uses, _uses.c.assignment_id == _a.c.id)
    return {row.id: row for chunk in chunked(ids) for row in tx.conn.execute(query.where(_a.c.id.in_(chunk)))}


def _state(tx: ReadTransaction, rights: Rights, held: HeldRole) -> AccessState:
    if held.interval.starts is not None and held.interval.starts > tx.now:
        return AccessState.LATER
    is_stopped = rights.active_lock(held.scope, None, tx.now) is not None or not held.is_effective(tx.now)
    return AccessState.STOPPED if is_stopped else AccessState.EFFECTIVE
