"""Who could grant or revoke a role: the people that a refusal names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from aizen_hub.authorization import checks
from aizen_hub.rbac.escalation import missing_to_grant, missing_to_revoke
from aizen_hub.rbac.granting_roles import roles_that_can_grant
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_MAX_MEMBERS_CHECKED = 50
"""Users of one group that are checked for one who could grant a role."""
_PAGE_SIZE = 100
_a = tables.assignments


def who_can_grant(
    tx: ReadTransaction,
    role: str,
    scope: str,
    limit: int = 5,
    *,
    recipient: Identity | None = None,
    besides: Iterable[Identity] = (),
) -> tuple[str, ...]:
    """Return names of users who could grant a role in a scope now, those with a role in that scope first.

    Parameters
    ----------
    recipient : Identity, optional
        Only users who could grant it to this identity: no user can grant a role to themselves.
    besides : iterable of Identity
        Left out, such as the user who asks.
    """
    target_role = tx.roles.get(role)
    if target_role is None:
        return ()

    def may_grant(rights: Rights) -> bool:
        if recipient is None:
            return True
        controlled = _controlled(tx, rights.identity, recipient)
        limits = tx.rights(recipient).limits if recipient in controlled else ()
        return not missing_to_grant(
            rights, target_role, scope, recipient, tx.now, controlled=controlled, recipient_limits=limits
        )

    granting_roles = roles_that_can_grant(target_role, scope, tx.roles, tx.catalog.member_permissions, tx.now)
    return _holders(tx, granting_roles, scope, may_grant, frozenset(besides), limit)


def who_can_revoke(
    tx: ReadTransaction,
    role: str,
    scope: str,
    holder: Identity,
    limit: int = 5,
    *,
    creator: bool = False,
    besides: Iterable[Identity] = (),
) -> tuple[str, ...]:
    """Return names of users who could revoke a role of ``holder`` in a scope now.

    Parameters
    ----------
    creator : bool
        The assignment is the automatic one of the project's creator.
    besides : iterable of Identity
        Left out, such as the user who asks.
    """
    target_role, removers = tx.roles.get(role), tx.catalog.creator_role_removers
    if target_role is None:
        return ()

    def may_revoke(rights: Rights) -> bool:
        controlled = _controlled(tx, rights.identity, holder)
        return not missing_to_revoke(
            rights, target_role, scope, holder, tx.now, controlled=controlled, creator=creator, removers=removers
        )

    revoking_roles = roles_that_can_grant(
        target_role, scope, tx.roles, tx.catalog.member_permissions, tx.now, revoke=True
    )
    return _holders(tx, revoking_roles, scope, may_revoke, frozenset(besides), limit)


def _holders(
    tx: ReadTransaction,
    roles: Sequence[str],
    scope: str,
    is_entitled: Callable[[Rights], bool],
    besides: frozenset[Identity],
    limit: int,
) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for assigned in _assigned_identities(tx, roles, scope):
        members = checks.transitive_members(tx, [assigned]) - besides
        users = sorted(member for member in members if member.kind is IdentityKind.USER and member.name not in names)
        for identity in users[:_MAX_MEMBERS_CHECKED]:
            if len(names) >= limit:
                return tuple(names)
            rights = tx.rights(identity)
            holds = any(
                held.role in roles and held.scope in (scope, SYSTEM) and held.is_effective(tx.now)
                for held in rights.held_roles
            )
            is_locked = rights.active_lock(scope, None, tx.now) is not None
            if rights.active and holds and not is_locked and is_entitled(rights):
                names[identity.name] = None
    return tuple(names)


def _assigned_identities(tx: ReadTransaction, roles: Sequence[str], scope: str) -> Iterator[Identity]:
    """Yield the users and groups with one of the roles, those with a role in ``scope`` first, read page by page."""
    query = (
        select(_a.c.identity)
        .where(
            _a.c.role.in_(roles),
            _a.c.scope.in_({scope, SYSTEM}),
            _a.c.identity.not_like(f"{IdentityKind.SERVICE_ACCOUNT}:%"),
            or_(_a.c.ends.is_(None), _a.c.ends > tx.now),
        )
        .order_by(_a.c.scope == SYSTEM, _a.c.identity, _a.c.id)
        .limit(_PAGE_SIZE)
    )
    seen: set[str] = set()
    offset = 0
    while page := tx.conn.execute(query.offset(offset)).scalars().all():
        offset += len(page)
        for text in page:
            if text not in seen:
                seen.add(text)
                yield Identity.parse(text)


def _controlled(tx: ReadTransaction, grantor: Identity, other: Identity) -> frozenset[Identity]:
    """Return the identities that count as the grantor, where ``other`` may be one of them."""
    # A user never counts as another one, so nothing has to be read.
    if other.kind is IdentityKind.USER:
        return frozenset()
    return checks.controlled_identities(tx, grantor)
