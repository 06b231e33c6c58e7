"""Protection of the last holder of a protected role (R69, T-05)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from aizen_hub.accounts import pending_changes
from aizen_hub.authorization.lock_state import is_locked
from aizen_hub.problems import LastHolder
from aizen_hub.rbac import messages
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_USER = f"{IdentityKind.USER.value}:"
ProtectedGrant = tuple[str, str]
"""A role and the scope in which it is held."""


def active_holders(tx: ReadTransaction, role: str, scope: str) -> frozenset[str]:
    """Return the users who count as holders of a role in a scope.

    Only direct assignments without an end, already started, of unlocked users who can sign in count.
    """
    a, u, locks = tables.assignments, tables.users, tables.locks
    locked = select(locks.c.name).where(
        locks.c.target == LockTarget.IDENTITY.value, or_(locks.c.ends.is_(None), locks.c.ends > tx.now)
    )
    rows = tx.conn.execute(
        select(u.c.name)
        # By the few assignments of the role in this scope: the other way, all users would be read.
        .join(a, u.c.name == func.substr(a.c.identity, len(_USER) + 1))
        .where(
            a.c.identity.like(f"{_USER}%"),
            a.c.role == role,
            a.c.scope == scope,
            a.c.ends.is_(None),
            or_(a.c.starts.is_(None), a.c.starts <= tx.now),
            u.c.active,
            a.c.identity.not_in(locked),
        )
    )
    return frozenset(row.name for row in rows)


def protected_grants_of(tx: ReadTransaction, identities: Iterable[Identity]) -> tuple[ProtectedGrant, ...]:
    """Return the protected roles that these identities hold directly, with their scopes."""
    protected = [name for name, role in tx.roles.items() if role.protected]
    a = tables.assignments
    rows = tx.conn.execute(
        select(a.c.role, a.c.scope)
        .where(a.c.identity.in_([str(identity) for identity in identities]), a.c.role.in_(protected))
        .distinct()
    )
    return tuple((row.role, row.scope) for row in rows)


@contextmanager
def last_holder_guard(tx: WriteTransaction, grants: Iterable[ProtectedGrant]) -> Iterator[None]:
    """Raise LastHolder if the body of the ``with`` leaves a protected role without any holder.

    A bulk change goes into one ``with``, so that the last holder can be replaced by another.

    Raises
    ------
    LastHolder
        Names the roles and scopes.
    """
    before: Mapping[ProtectedGrant, frozenset[str]] = {
        grant: active_holders(tx, *grant) for grant in grants if tx.roles[grant[0]].protected
    }
    yield
    _raise_if_lost([grant for grant, names in before.items() if names and not active_holders(tx, *grant)], before, tx)


def require_other_holder(
    tx: ReadTransaction,
    grants: Iterable[ProtectedGrant],
    removed_users: Collection[str],
    added_users: Collection[str] = (),
) -> None:
    """Raise LastHolder if a change would take these grants from the last holders.

    For a change that waits for confirmation: `last_holder_guard` would refuse it whenever it is confirmed.

    Parameters
    ----------
    added_users : collection of str
        Users who get these grants, without an end, by the same change.
    """
    before = {grant: active_holders(tx, *grant) for grant in grants if tx.roles[grant[0]].protected}
    lost = [grant for grant, names in before.items() if names and names <= set(removed_users)]
    _raise_if_lost([] if any(_may_hold(tx, name) for name in added_users) else lost, before, tx)


def _may_hold(tx: ReadTransaction, user: str) -> bool:
    active = tx.conn.execute(select(tables.users.c.active).where(tables.users.c.name == user)).scalar()
    return bool(active) and not is_locked(tx, LockTarget.IDENTITY, str(Identity.user(user)))


def _raise_if_lost(
    lost: Sequence[ProtectedGrant], before: Mapping[ProtectedGrant, frozenset[str]], tx: ReadTransaction
) -> None:
    if lost:
        role, scope = lost[0]
        confirmation = pending_changes.confirmed_in_panel(tx, [(role, scope)])
        raise LastHolder(
            f"`{sorted(before[lost[0]])[0]}` is the last {role} of {messages.describe_scope(scope)}"
            + (f", and {len(lost) - 1} more such roles would lose their last holder" if len(lost) > 1 else ""),
            remedy=f"first grant {role} without an end to another user who can sign in{confirmation}",
            extensions={"last": [{"role": role, "scope": scope} for role, scope in lost]},
        )
