"""Queries for lists of identities that several pages share: roles in short, locks, groups and text search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.panel.visibility import Viewer
    from aizen_hub.store.transaction import ReadTransaction

_a, _m, _g, _l = tables.assignments, tables.memberships, tables.groups, tables.locks


@dataclass(frozen=True, slots=True)
class HeldSummary:
    """One role of a person: where, or in how many projects."""

    role: str
    scopes: int
    scope: str

    @property
    def is_system(self) -> bool:
        return self.scope == SYSTEM


def contains_text(tx: ReadTransaction, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the condition that a column contains a text, whatever the case of its letters."""
    # SQLite's LIKE ignores case by itself, and lower() would double the time of a search.
    is_sqlite = tx.conn.dialect.name == "sqlite"
    return column.contains(text, autoescape=True) if is_sqlite else column.icontains(text, autoescape=True)


def holders_in(scopes: Sequence[str] | None, role: str | None = None) -> Select[Any]:
    """Return a query for every identity with a role in one of these scopes, its own or through nested groups.

    Parameters
    ----------
    scopes : sequence of str or None
        None: in any scope.
    role : str, optional
        Only this role; None: any.
    """
    conditions: list[ColumnElement[bool]] = [] if scopes is None else [_a.c.scope.in_(scopes)]
    if role is not None:
        conditions.append(_a.c.role == role)
    holders = select(_a.c.identity.label("identity")).where(*conditions).cte(recursive=True)
    name_of_group = func.substr(holders.c.identity, len("group:") + 1)
    members = (
        select(_m.c.member)
        .join(_g, _g.c.id == _m.c.group_id)
        .join(holders, and_(holders.c.identity.like("group:%"), _g.c.name == name_of_group))
    )
    return select(holders.union(members).c.identity)


def summarize_roles(
    tx: ReadTransaction, identities: Sequence[str], projects: frozenset[str] | None
) -> dict[str, tuple[HeldSummary, ...]]:
    """Return the roles assigned directly to some identities, each with the number of its scopes and one of them.

    Parameters
    ----------
    projects : frozenset of str or None
        Roles in these scopes only; None: in all.
    """
    query = (
        select(_a.c.identity, _a.c.role, func.count().label("scopes"), func.min(_a.c.scope).label("scope"))
        .where(_a.c.identity.in_(identities), or_(_a.c.ends.is_(None), _a.c.ends > tx.now))
        .group_by(_a.c.identity, _a.c.role, _a.c.scope == SYSTEM)
    )
    if projects is not None:
        query = query.where(_a.c.scope.in_(sorted(projects)))
    order = {name: index for index, name in enumerate(tx.roles)}
    held: defaultdict[str, list[HeldSummary]] = defaultdict(list)
    for row in tx.conn.execute(query):
        held[row.identity].append(HeldSummary(row.role, row.scopes, row.scope))
    return {
        identity: tuple(sorted(roles, key=lambda role: (not role.is_system, -order.get(role.role, -1), role.scope)))
        for identity, roles in held.items()
    }


def locked_identities(tx: ReadTransaction, identities: Sequence[str]) -> frozenset[str]:
    """Return which of these identities are stopped by a lock of their own."""
    query = select(_l.c.name).where(
        _l.c.target == LockTarget.IDENTITY.value, _l.c.name.in_(identities), lock_in_force(tx)
    )
    return frozenset(tx.conn.execute(query).scalars())


def lock_in_force(tx: ReadTransaction) -> ColumnElement[bool]:
    """Return the condition that a lock has an effect now."""
    return or_(_l.c.ends.is_(None), _l.c.ends > tx.now)


def find_lock(tx: ReadTransaction, identity: Identity) -> Any:
    """Return the row of the lock on an identity that is in force, or None."""
    query = select(_l).where(_l.c.target == LockTarget.IDENTITY.value, _l.c.name == str(identity), lock_in_force(tx))
    return tx.conn.execute(query).first()


def parents_of(tx: ReadTransaction, identity: Identity) -> Sequence[Any]:
    """Return the rows of the groups that contain an identity directly."""
    query = select(_g).join(_m, _m.c.group_id == _g.c.id).where(_m.c.member == str(identity)).distinct()
    return tx.conn.execute(query.order_by(_g.c.name)).all()


def visible_parents_of(viewer: Viewer, identity: Identity) -> list[Any]:
    """Return the groups that contain an identity directly, as far as the viewer may see them."""
    is_self = identity == viewer.identity
    return [row for row in parents_of(viewer.tx, identity) if is_self or viewer.sees(Identity.group(row.name))]
