"""Where roles are assigned, and how often."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, case, func, or_, select, text, union

from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_a = tables.assignments


@dataclass(frozen=True, slots=True)
class RoleUsage:
    """The assignments of a role in one scope, by the kind of their holders."""

    scope: str
    users: int
    groups: int
    service_accounts: int


def count_assignments(tx: ReadTransaction, scopes: Collection[str] | None, role: str | None = None) -> dict[str, int]:
    """Return how often each role is assigned, ended assignments included until they are deleted.

    Parameters
    ----------
    scopes : collection of str, optional
        Only assignments in these scopes; None: in all.
    role : str, optional
        Only this role; None: all.
    """
    if scopes is None:
        key = ("assignments", *(() if role is None else (role,)))
        return dict(tx.cached_count(key, lambda: _count_assignments(tx, None, role)))
    return _count_assignments(tx, scopes, role)


def _count_assignments(tx: ReadTransaction, scopes: Collection[str] | None, role: str | None) -> dict[str, int]:
    rows = tables.assignment_rows
    conditions: list[ColumnElement[bool]] = [] if scopes is None else [rows.c.scope.in_(sorted(scopes))]
    if role is not None:
        conditions.append(rows.c.role == role)
    query = select(rows.c.role, func.count()).where(*conditions).group_by(rows.c.role)
    counts: dict[str, int] = dict(tx.conn.execute(_count_of_each_role() if not conditions else query).all())
    # All rows are counted by their index alone; of the few that an operation has staged, those without effect are not.
    staged = union(
        select(rows.c.id).where(rows.c.staged_by.is_not(None)), select(rows.c.id).where(rows.c.removed_by.is_not(None))
    )
    if tx.conn.execute(staged.limit(1)).first() is not None:
        without_effect = query.where(rows.c.id.in_(staged), text(f"NOT ({tables.IN_EFFECT})"))
        for name, count in tx.conn.execute(without_effect):
            counts[name] -= count
    return {name: count for name, count in counts.items() if count}


def _count_of_each_role() -> Select[Any]:
    """Return the query of the number of rows of each role, of which there are few.

    To find each role and count its part of the index takes two thirds of the time of one count that groups the rows.
    """
    rows = tables.assignment_rows
    first = select(func.min(rows.c.role).label("role")).cte("roles", recursive=True)
    following = select(func.min(rows.c.role)).where(rows.c.role > first.c.role).scalar_subquery()
    roles = first.union_all(select(following).where(first.c.role.is_not(None)))
    count = select(func.count()).where(rows.c.role == roles.c.role).scalar_subquery()
    return select(roles.c.role, count).where(roles.c.role.is_not(None))


def usage_of(
    tx: ReadTransaction, role: str, scopes: Collection[str] | None, *, after: str = "", limit: int = 25
) -> list[RoleUsage]:
    """Return where a role is assigned now or later, in the order of the scopes.

    Parameters
    ----------
    after : str
        Only scopes greater than this one.
    """
    scope: Any = _a.c.scope.collate("C") if tx.conn.dialect.name == "postgresql" else _a.c.scope
    # The role is compared as an expression, which no index serves: the scopes are read in order, up to the limit, and
    # not all assignments of the role.
    query = select(
        _a.c.scope,
        _count(IdentityKind.USER).label("users"),
        _count(IdentityKind.GROUP).label("groups"),
        _count(IdentityKind.SERVICE_ACCOUNT).label("accounts"),
    ).where(_a.c.role.concat("") == role, or_(_a.c.ends.is_(None), _a.c.ends > tx.now), scope > after)
    if scopes is not None:
        query = query.where(_a.c.scope.in_(sorted(scopes)))
    rows = tx.conn.execute(query.group_by(_a.c.scope).order_by(scope).limit(limit))
    return [RoleUsage(row.scope, row.users, row.groups, row.accounts) for row in rows]


def _count(kind: IdentityKind) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((_a.c.identity.like(f"{kind}:%"), 1), else_=0)), 0)
