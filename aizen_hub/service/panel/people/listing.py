"""The list of people: searched, filtered and sorted by the database, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, false, func, literal, or_, select, union_all

from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.panel.identity_rows import (
    HeldSummary,
    contains_text,
    holders_in,
    lock_in_force,
    locked_identities,
    summarize_roles,
)
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText, Page, PageQuery, Sort, read_page
from aizen_hub.store import tables
from aizen_hub.store.timestamps import UtcDateTime, from_microseconds

if TYPE_CHECKING:
    from aizen_hub.service.panel.visibility import Viewer
    from aizen_hub.store.transaction import ReadTransaction

_u, _a, _m, _g = tables.users, tables.assignments, tables.memberships, tables.groups
_l, _s = tables.locks, tables.sessions
NO_ROLE = "none"
"""As the filter for a role: the people who have none, of their own or through a group."""
_MAX_RARE = 10_000
"""Assignments of a role whose holders are read sooner than all people are gone through."""
_MAX_FEW = 500
"""People who match a text and are read by their ids, so that all people are gone through once."""
_NO_PEOPLE = select(_u).where(false())
_NEVER = literal(from_microseconds(0), UtcDateTime)
_IDENTITY = literal("user:") + _u.c.name
SORTS = (
    Sort("name", (_u.c.name,)),
    Sort("seen", (func.coalesce(_u.c.last_seen, _NEVER), _u.c.name)),
)


class PersonState(StrEnum):
    """Whether a person can sign in; those who left are not known to their provider any more."""

    ACTIVE = "active"
    STOPPED = "stopped"
    NOT_ACTIVATED = "not-activated"
    LEFT = "left"


class PeopleQuery(PageQuery):
    """Which people are listed.

    Attributes
    ----------
    q : str or None
        Part of the login, the name or, where the viewer sees everyone, the mail address.
    source : str or None
        A provider of registrations.
    project : str or None
        People with a role in it, of their own or through a group.
    role : str or None
        People with this role, of their own or through a group; `NO_ROLE`: without any.
    """

    q: OptionalText = None
    state: Annotated[PersonState | None, EMPTY_IS_NONE] = None
    source: OptionalText = None
    project: OptionalText = None
    role: OptionalText = None


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One person of the list; ``roles`` are those of their own, ``groups`` counts the groups they are directly in."""

    name: str
    display_name: str
    email: str | None
    source: str
    state: PersonState
    roles: tuple[HeldSummary, ...]
    groups: int
    servers: int
    last_seen: datetime | None


def list_people(viewer: Viewer, query: PeopleQuery) -> tuple[Page, tuple[PersonRow, ...]]:
    """Return a page of the people whom the viewer may see.

    Raises
    ------
    BadInput
        The address is not one of this list.
    """
    conditions = [*_visible(viewer), *_conditions(viewer, query)]
    found = _find_few(viewer.tx, conditions) if query.q is not None else None
    total = _count(viewer, query, conditions) if found is None else len(found)
    # Where few or none match, the rows would be looked for among all people a second time.
    rows = select(_u).where(*(conditions if found is None else (_u.c.id.in_(found),))) if total else _NO_PEOPLE
    # The last sign-in is for those who see everyone: an order by it, and its places, would tell it.
    sorts = SORTS if viewer.sees_all else SORTS[:1]
    page = read_page(viewer.tx, rows, sorts, query, total=total)
    return page, _complete_rows(viewer, page.rows)


def _find_few(tx: ReadTransaction, conditions: Sequence[ColumnElement[bool]]) -> list[int] | None:
    """Return the ids of all people with these conditions; None where they are many."""
    ids = list(tx.conn.execute(select(_u.c.id).where(*conditions).limit(_MAX_FEW + 1)).scalars())
    return ids if len(ids) <= _MAX_FEW else None


def count_people(viewer: Viewer) -> dict[str, int]:
    """Return how many of the visible people are stopped, not activated, or left."""
    count = select(func.count()).select_from(_u).where(*_visible(viewer))
    return {
        state.value: viewer.tx.conn.execute(count.where(_state_condition(viewer.tx, state))).scalar_one()
        for state in (PersonState.STOPPED, PersonState.NOT_ACTIVATED, PersonState.LEFT)
    }


def _count(viewer: Viewer, query: PeopleQuery, conditions: Sequence[ColumnElement[bool]]) -> int:
    def count() -> int:
        return viewer.tx.conn.execute(select(func.count()).select_from(_u).where(*conditions)).scalar_one()

    # With this filter alone, the roles of each person are looked for; what a manager of projects may see is another
    # count for each of them.
    by_role_alone = query.role is not None and set(query.filters) <= {"role", "sort"}
    if query.role is None or not by_role_alone or not viewer.sees_all or viewer.projects is not None:
        return count()
    role = query.role
    if role == NO_ROLE or _is_rare(viewer.tx, role):
        return viewer.tx.cached_count(("people-by-role", role), count)
    return viewer.tx.cached_count(("people-by-role", role), lambda: _count_holders(viewer.tx, role))


def _count_holders(tx: ReadTransaction, role: str) -> int:
    """Return how many people have a role, of their own or through a group: the same as a count by `_holds_anywhere`.

    Those who have it themselves are counted in the order of an index; looking for each person takes twice the time.
    """
    a = _readable_assignments(tx).c
    is_sqlite = tx.conn.dialect.name == "sqlite"
    # SQLite reads a part of the index between two texts, and PostgreSQL orders texts by its locale.
    of_people = [a.identity >= "user:", a.identity < "user;"] if is_sqlite else [a.identity.like("user:%")]
    holders = select(a.identity).where(a.role == role, *of_people).distinct().subquery()
    own = select(func.count()).select_from(holders)
    in_groups = select(func.count()).select_from(_u).where(_is_in_holding_group(a, role), ~_holds_itself(a, role))
    return sum(tx.conn.execute(query).scalar_one() for query in (own, in_groups))


def _visible(viewer: Viewer) -> list[ColumnElement[bool]]:
    if viewer.sees_all:
        return []
    holders = holders_in(sorted(viewer.managed_projects))
    return [or_(_u.c.name == viewer.identity.name, _is_among(holders))]


def _is_among(holders: Select[Any]) -> ColumnElement[bool]:
    identities = holders.subquery()
    names = select(func.substr(identities.c.identity, len("user:") + 1)).where(identities.c.identity.like("user:%"))
    return _u.c.name.in_(names)


def _conditions(viewer: Viewer, query: PeopleQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.q is not None and (text := query.q.strip()):
        columns = (_u.c.name, _u.c.display_name, *((_u.c.email,) if viewer.sees_all else ()))
        conditions.append(or_(*(contains_text(viewer.tx, column, text) for column in columns)))
    if query.state is not None:
        conditions.append(_state_condition(viewer.tx, query.state))
    if query.source is not None:
        conditions.append(_u.c.provider == query.source)
    if query.role is not None or query.project is not None:
        conditions.append(_holds(viewer, query))
    return conditions


def _holds(viewer: Viewer, query: PeopleQuery) -> ColumnElement[bool]:
    """Return the condition on the roles that a person has, as far as the viewer may see them."""
    role = None if query.role == NO_ROLE else query.role
    scopes = viewer.projects
    if query.project is not None:
        scopes = frozenset({query.project} if scopes is None else scopes & {query.project})
    # Where few assignments matter, as in some projects, their holders are read, not the assignments of every person.
    if scopes is not None:
        holds = _is_among(holders_in(sorted(scopes), role))
    elif role is not None and _is_rare(viewer.tx, role):
        holds = _is_among(holders_in(None, role))
    else:
        holds = _holds_anywhere(viewer.tx, role)
    return ~holds if query.role == NO_ROLE else holds


def _is_rare(tx: ReadTransaction, role: str) -> bool:
    rows = tables.assignment_rows
    some = select(rows.c.role).where(rows.c.role == role).limit(_MAX_RARE).subquery()
    return tx.conn.execute(select(func.count()).select_from(some)).scalar_one() < _MAX_RARE


def _holds_anywhere(tx: ReadTransaction, role: str | None) -> ColumnElement[bool]:
    a = _readable_assignments(tx).c
    return or_(_holds_itself(a, role), _is_in_holding_group(a, role))


def _holds_itself(a: Any, role: str | None) -> ColumnElement[bool]:
    return exists(select(a.id).where(a.identity == _IDENTITY, *(() if role is None else (a.role == role,))))


def _is_in_holding_group(a: Any, role: str | None) -> ColumnElement[bool]:
    of_role = () if role is None else (a.role == role,)
    groups = (
        select(_g.c.id.label("id"))
        .where(exists(select(a.id).where(a.identity == literal("group:") + _g.c.name, *of_role)))
        .cte(recursive=True)
    )
    nested = (
        select(_g.c.id)
        .join(_m, _m.c.member == literal("group:") + _g.c.name)
        .join(groups, groups.c.id == _m.c.group_id)
    )
    group_ids = select(groups.union(nested).c.id)
    return exists(select(_m.c.id).where(_m.c.member == _IDENTITY, _m.c.group_id.in_(group_ids)))


def _readable_assignments(tx: ReadTransaction) -> FromClause:
    """Return the assignments, as their bare table where no operation has staged any: its index alone answers then."""
    rows = tables.assignment_rows
    staged = union_all(
        select(rows.c.id).where(rows.c.staged_by.is_not(None)), select(rows.c.id).where(rows.c.removed_by.is_not(None))
    )
    return rows if tx.conn.execute(staged.limit(1)).first() is None else _a


def _state_condition(tx: ReadTransaction, state: PersonState) -> ColumnElement[bool]:
    locked = select(func.substr(_l.c.name, len("user:") + 1)).where(
        _l.c.target == LockTarget.IDENTITY.value, _l.c.name.like("user:%"), lock_in_force(tx)
    )
    if state is PersonState.STOPPED:
        return _u.c.name.in_(locked)
    if state is PersonState.LEFT:
        return and_(_u.c.gone_at.is_not(None), _u.c.name.not_in(locked))
    return and_(
        _u.c.name.not_in(locked), _u.c.gone_at.is_(None), _u.c.active if state is PersonState.ACTIVE else ~_u.c.active
    )


def _complete_rows(viewer: Viewer, people: Sequence[Any]) -> tuple[PersonRow, ...]:
    tx, sees_all = viewer.tx, viewer.sees_all
    names = [row.name for row in people]
    held = summarize_roles(tx, [f"user:{name}" for name in names], viewer.projects)
    groups = _count_by(tx, select(_m.c.member, func.count(_m.c.group_id.distinct())), _m.c.member, names, "user:")
    servers = _count_by(tx, select(_s.c.user, func.count()).where(_s.c.ended.is_(None)), _s.c.user, names, "")
    locked = locked_identities(tx, [f"user:{name}" for name in names])
    return tuple(
        PersonRow(
            row.name,
            row.display_name,
            row.email if sees_all else None,
            row.provider,
            _state(row, locked),
            held.get(f"user:{row.name}", ()),
            groups.get(row.name, 0) if sees_all else 0,
            servers.get(row.name, 0) if sees_all else 0,
            row.last_seen if sees_all else None,
        )
        for row in people
    )


def _state(row: Any, locked: frozenset[str]) -> PersonState:
    if f"user:{row.name}" in locked:
        return PersonState.STOPPED
    if row.gone_at is not None:
        return PersonState.LEFT
    return PersonState.ACTIVE if row.active else PersonState.NOT_ACTIVATED


def _count_by(
    tx: ReadTransaction, query: Select[Any], column: ColumnElement[Any], names: Sequence[str], prefix: str
) -> dict[str, int]:
    rows = tx.conn.execute(query.where(column.in_([prefix + name for name in names])).group_by(column))
    return {row[0].removeprefix(prefix): row[1] for row in rows}
