"""The last holder of a protected role stays (R69, T-05)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import literal, or_, select

from aizen_hub.problems import LastHolder
from aizen_hub.rbac import messages as sentence
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

Place = tuple[str, str]
"""A role and the scope it is held in."""


def holders(tx: Read, role: str, scope: str) -> frozenset[str]:
    """Return the users who keep a role alive in a scope.

    Only direct assignments without an end, already begun, of unlocked people who can sign in count.
    """
    a, u, locks = tables.assignments, tables.users, tables.locks
    locked = select(locks.c.name).where(
        locks.c.target == LockTarget.IDENTITY.value, or_(locks.c.ends.is_(None), locks.c.ends > tx.now)
    )
    rows = tx.conn.execute(
        select(u.c.name)
        .join(a, a.c.identity == literal(f"{Kind.USER.value}:") + u.c.name)
        .where(
            a.c.role == role,
            a.c.scope == scope,
            a.c.ends.is_(None),
            or_(a.c.starts.is_(None), a.c.starts <= tx.now),
            u.c.active,
            a.c.identity.not_in(locked),
        )
    )
    return frozenset(row.name for row in rows)


def places_of(tx: Read, identities: Iterable[Identity]) -> tuple[Place, ...]:
    """Return where these identities hold protected roles directly."""
    protected = [name for name, role in tx.roles.items() if role.protected]
    a = tables.assignments
    rows = tx.conn.execute(
        select(a.c.role, a.c.scope)
        .where(a.c.identity.in_([str(one) for one in identities]), a.c.role.in_(protected))
        .distinct()
    )
    return tuple((row.role, row.scope) for row in rows)


@contextmanager
def kept(tx: Write, places: Iterable[Place]) -> Iterator[None]:
    """Refuse what happens inside if it leaves a protected role without the holder it had.

    The whole of a bulk change goes inside one ``with``, so that exchanging the last holder for another is possible.

    Raises
    ------
    LastHolder
        Names the roles and scopes.
    """
    before: Mapping[Place, frozenset[str]] = {
        place: holders(tx, *place) for place in places if tx.roles[place[0]].protected
    }
    yield
    _refuse([place for place, names in before.items() if names and not holders(tx, *place)], before)


def check_without(tx: Read, places: Iterable[Place], gone: Collection[str]) -> None:
    """Refuse what would take these users away, before it is even held for confirmation; raises as `kept` does."""
    before = {place: holders(tx, *place) for place in places if tx.roles[place[0]].protected}
    _refuse([place for place, names in before.items() if names and names <= set(gone)], before)


def _refuse(lost: Sequence[Place], before: Mapping[Place, frozenset[str]]) -> None:
    if lost:
        role, scope = lost[0]
        raise LastHolder(
            f"`{sorted(before[lost[0]])[0]}` is the last {role} of {sentence.place(scope)}"
            + (f", and {len(lost) - 1} more such roles would lose their last holder" if len(lost) > 1 else ""),
            remedy=f"grant {role} to somebody else first, without an end date",
            more={"last": [{"role": role, "scope": scope} for role, scope in lost]},
        )
