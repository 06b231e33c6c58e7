"""What a grant would change, shown before it is made: who gets what, what is held already, what is refused and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles.assignments import find_assignment
from aizen_hub.authorization.delegation import GrantAuthority, missing_list
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.default_denials import delegated_roles
from aizen_hub.rbac.engine import effective_permissions, held_in
from aizen_hub.rbac.escalation import MissingRight, MissingRightKind
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, is_assignable_in, permissions_of_role

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction

_ANOTHER_USER = Identity.user("another user")
"""Stands for any user except the actor: no user can have this name."""


class GrantEffect(StrEnum):
    """What a grant does to the assignment of one identity."""

    NEW = "new"
    SAME = "same"
    LONGER = "longer"
    SHORTER = "shorter"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class GrantPreview:
    """What a grant would change for one identity.

    Attributes
    ----------
    present_end : datetime or None
        When the assignment that exists ends; None also where there is none.
    through : tuple of Identity
        Groups that give the role already.
    missing : tuple of str
        Why the actor may not grant it, as sentences.
    grantors : tuple of str
        Users who could, if the actor may not.
    gained : tuple of str
        The commands that the identity may run afterwards and not now.
    may_then_grant : tuple of str
        The roles that the identity could grant afterwards and not now.
    active : bool
        Whether the identity can use its rights now.
    needs_second_person : bool
        Another user has to confirm it.
    """

    identity: Identity
    kind: GrantEffect
    present_end: datetime | None = None
    through: tuple[Identity, ...] = ()
    missing: tuple[str, ...] = ()
    grantors: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    may_then_grant: tuple[str, ...] = ()
    active: bool = True
    needs_second_person: bool = False

    @property
    def changes_something(self) -> bool:
        return self.kind not in (GrantEffect.SAME, GrantEffect.REFUSED)


def preview_grants(
    tx: ActorTransaction, role: Role, scope: str, identities: Sequence[Identity], interval: Interval
) -> list[GrantPreview]:
    """Return what granting a role in a scope would change for each identity, which must exist."""
    authority = GrantAuthority.of_actor(tx)
    return [_preview(tx, authority, role, scope, identity, interval) for identity in identities]


def grantable_roles(tx: ActorTransaction, scope: str) -> list[Role]:
    """Return the roles that the actor may grant to other users in a scope, the least powerful first."""
    authority = GrantAuthority.of_actor(tx)
    return [
        role
        for role in tx.roles.values()
        if is_assignable_in(role, scope) and not authority.missing_to_grant(tx, role, scope, _ANOTHER_USER)
    ]


def may_grant(tx: ActorTransaction, role: Role, scope: str) -> bool:
    """Return whether the actor may grant the role in the scope to others than themselves and what they control."""
    authority = GrantAuthority.of_actor(tx)
    others = (Identity(kind, _ANOTHER_USER.name) for kind in role.assignable_to)
    return any(not authority.missing_to_grant(tx, role, scope, other) for other in others)


def is_sensitive(tx: ReadTransaction, role: str, scope: str) -> bool:
    """Return whether granting the role needs a recent sign-in."""
    return tx.settings.confirm_protected and pending_changes.is_protected(tx, role, scope)


def _preview(
    tx: ActorTransaction, authority: GrantAuthority, role: Role, scope: str, identity: Identity, interval: Interval
) -> GrantPreview:
    row = find_assignment(tx, role.name, scope, identity)
    present = None if row is None else Interval(row.starts, row.ends)
    kind = _kind(present, interval, tx.now)
    rights = tx.rights(identity)
    through = tuple(
        held.via[-1]
        for held in rights.held_roles
        if held.via and held.role == role.name and held.scope == scope and held.is_effective(tx.now)
    )
    missing: tuple[MissingRight, ...] = authority.missing_to_grant(tx, role, scope, identity, ends=interval.ends)
    second = bool(missing) and all(right.kind is MissingRightKind.SECOND_PERSON for right in missing)
    if kind is GrantEffect.SHORTER and not missing:
        missing = authority.missing_to_revoke(tx, role, scope, identity, creator=row is not None and bool(row.creator))
    refused = bool(missing) and not second
    gained, may_then_grant = _gains(tx, role, scope, identity)
    return GrantPreview(
        identity,
        GrantEffect.REFUSED if refused else kind,
        None if present is None else present.ends,
        tuple(dict.fromkeys(through)),
        tuple(missing_list(missing)) if refused else (),
        who_can_grant(tx, role.name, scope, recipient=identity, besides=[tx.actor.identity]) if refused else (),
        gained,
        may_then_grant,
        rights.active and rights.active_lock(scope, None, tx.now) is None,
        second,
    )


def _kind(present: Interval | None, wanted: Interval, now: datetime) -> GrantEffect:
    if present is None or (present.ends is not None and present.ends <= now):
        return GrantEffect.NEW
    if (present.starts, present.ends) == (wanted.starts, wanted.ends):
        return GrantEffect.SAME
    if wanted.ends is None or (present.ends is not None and present.ends <= wanted.ends):
        return GrantEffect.LONGER
    return GrantEffect.SHORTER


def _gains(tx: ReadTransaction, role: Role, scope: str, identity: Identity) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rights = tx.rights(identity)
    kind = ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT
    before = effective_permissions(rights, scope, tx.now)
    after = before | permissions_of_role(role, scope, tx.catalog.member_permissions)
    held = {entry.name for entry in role_coverage.allowed_commands(tx.catalog, before, kind)}
    gained = tuple(
        entry.name for entry in role_coverage.allowed_commands(tx.catalog, after, kind) if entry.name not in held
    )
    present = frozenset[str]().union(
        *(delegated_roles(tx.roles[name]) for name, _ in held_in(rights, scope, tx.now) if name in tx.roles)
    )
    return gained, tuple(sorted(delegated_roles(role) - present))
