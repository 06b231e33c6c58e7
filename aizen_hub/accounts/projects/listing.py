"""The projects that an identity can see, as pages of a table (R72)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, or_, select

from aizen_hub.authorization import checks
from aizen_hub.authorization.lock_state import locked_names
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_a, _p = tables.assignments, tables.projects
_MAX_ADMINS = 3


class ProjectSort(StrEnum):
    NAME = "name"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """One project of the list.

    Attributes
    ----------
    holders : int
        Users, groups and service accounts with a role of their own in it.
    admins : tuple of Identity
        The first holders of the catalog's creator role.
    more_admins : bool
        Whether there are further ones.
    own_roles : tuple of str
        The roles in effect of who reads the list.
    locked : bool
        Archived, or stopped by an administrator.
    """

    name: str
    description: str
    created: datetime
    created_by: Identity
    listed: bool
    holders: int
    admins: tuple[Identity, ...]
    more_admins: bool
    own_roles: tuple[str, ...]
    locked: bool


def visible_query(tx: ReadTransaction, identity: Identity, text: str = "", *, only_own: bool = False) -> Select[Any]:
    """Return the query of the projects that the identity can see.

    Parameters
    ----------
    text : str
        Part of the name or of the description.
    only_own : bool
        Only projects in which the identity has a role.
    """
    scopes = checks.member_scopes(tx, identity)
    query = select(_p)
    if only_own or SYSTEM not in scopes:
        query = query.where(_p.c.name.in_(sorted(scopes - {SYSTEM})))
    if text:
        part = text.casefold()
        in_description = func.lower(_p.c.description).contains(part, autoescape=True)
        query = query.where(or_(_p.c.name.contains(part, autoescape=True), in_description))
    return query


def sort_columns(tx: ReadTransaction, sort: ProjectSort) -> list[Any]:
    """Return the columns of an order of `visible_query`."""
    name: Any = _p.c.name.collate("C") if tx.conn.dialect.name == "postgresql" else _p.c.name
    return [_p.c.created, name] if sort is ProjectSort.CREATED else [name]


def to_rows(tx: ReadTransaction, identity: Identity, rows: Sequence[Any]) -> list[ProjectRow]:
    """Return the projects of a page of `visible_query`, as the identity sees them."""
    names = [row.name for row in rows]
    in_effect = or_(_a.c.ends.is_(None), _a.c.ends > tx.now)
    counts: dict[str, int] = dict(
        tx.conn.execute(
            select(_a.c.scope, func.count(_a.c.identity.distinct()))
            .where(_a.c.scope.in_(names), in_effect)
            .group_by(_a.c.scope)
        ).all()
    )
    admins = _first_admins(tx, names)
    rights = tx.rights(identity)
    locked = locked_names(tx, LockTarget.PROJECT) | locked_names(tx, LockTarget.ARCHIVE)
    own: dict[str, dict[str, None]] = {}
    for held in rights.held_roles:
        if held.is_effective(tx.now):
            own.setdefault(held.scope, {})[held.role] = None
    return [
        ProjectRow(
            row.name,
            row.description,
            row.created,
            Identity.parse(row.created_by),
            row.listed,
            counts.get(row.name, 0),
            tuple(admins.get(row.name, ())[:_MAX_ADMINS]),
            len(admins.get(row.name, ())) > _MAX_ADMINS,
            tuple(sorted(own.get(row.name, ()))),
            row.name in locked,
        )
        for row in rows
    ]


def _first_admins(tx: ReadTransaction, projects: Sequence[str]) -> dict[str, list[Identity]]:
    """Return the first holders of the creator's role in each project, the creator first; one more than are shown."""
    order = func.row_number().over(partition_by=_a.c.scope, order_by=(_a.c.creator.desc(), _a.c.identity))
    numbered = (
        select(_a.c.scope, _a.c.identity, order.label("position"))
        .where(
            _a.c.scope.in_(projects),
            _a.c.role == tx.catalog.creator_role,
            or_(_a.c.ends.is_(None), _a.c.ends > tx.now),
        )
        .subquery()
    )
    admins: dict[str, list[Identity]] = {}
    query = select(numbered).where(numbered.c.position <= _MAX_ADMINS + 1).order_by(numbered.c.position)
    for row in tx.conn.execute(query):
        admins.setdefault(row.scope, []).append(Identity.parse(row.identity))
    return admins
