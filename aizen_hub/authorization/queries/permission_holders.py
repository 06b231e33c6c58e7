"""Who holds a permission in a scope: found through the roles that give it, without compiling everybody's rights (R80).

What one member gets through a group every plain member gets, so groups are followed once, not once a member. Only who
is below a locked group is decided one by one: which of several ways to a group counts then is for `rbac.reach` to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, or_, select

from aizen_hub.authorization import checks as gate
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.decision import Reason, Request
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.messages import SENTENCES, place, through
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, fits, role_gives
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunks

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read

MOST_ROWS = 2_000
"""Assignments, and memberships of 500 groups, that one page looks at."""
MOST_DECISIONS = 200
"""Identities that one page decides one by one."""

_a, _m, _g, _l = tables.assignments, tables.memberships, tables.groups, tables.locks


@dataclass(frozen=True, slots=True)
class Able:
    """Somebody who holds the permission, by one role on one way."""

    identity: Identity
    role: str
    scope: str
    via: tuple[Identity, ...]

    @property
    def sentence(self) -> str:
        return SENTENCES[Reason.GRANTED].format(role=self.role, where=place(self.scope), via=through(self.via))


@dataclass(frozen=True, slots=True)
class Page:
    """Some of them in the order of their names.

    Attributes
    ----------
    after : str or None
        The name after which the next page begins; None: these are all.
    """

    found: tuple[Able, ...]
    after: str | None = None


Way = tuple[str, str, tuple[Identity, ...]]
"""Role, its scope, and the groups that it comes through."""


def able(tx: Read, asked: Permission | None, scope: str, kind: Kind, *, after: str = "", limit: int) -> Page:
    """Return who of one kind is allowed ``asked`` in ``scope`` now, as `rbac.decide` would allow it.

    Parameters
    ----------
    asked : Permission or None
        None: what is open to every registered identity; told are those who hold something there.
    """
    giving = _giving(tx, asked, scope, kind)
    if giving is None or (scope != SYSTEM and _locked(tx, LockTarget.PROJECT, [scope])):
        return Page(())
    shut = {Identity.parse(name) for name in _locked(tx, LockTarget.IDENTITY, None)}
    groups = _groups(tx, giving, shut)
    if kind is Kind.GROUP:
        ways, rest = {group: way for group, way in groups.items() if group.name > after}, None
        doubtful = frozenset(ways)
    else:
        ways, rest = _members(tx, giving, groups, kind, after)
        doubtful = gate.members_below(tx, shut) if shut else frozenset()
    names = sorted(one.name for one in ways if rest is None or one.name < rest)
    present = _present(tx, kind, names)
    found: list[Able] = []
    decided, last = 0, after
    for name in names:
        identity = Identity(kind, name)
        if name in present and identity not in shut:
            if len(found) == limit or decided == MOST_DECISIONS:
                return Page(tuple(found), last)
            if identity in doubtful:
                decided += 1
            if identity not in doubtful or decide(tx.rights(identity), Request(asked, scope), tx.now).allowed:
                found.append(Able(identity, *ways[identity]))
        last = name
    return Page(tuple(found), None if rest is None else last)


def _giving(tx: Read, asked: Permission | None, scope: str, kind: Kind) -> ColumnElement[bool] | None:
    """Return the condition of the assignments that give now; None where no role could."""
    parts = []
    for where in {scope, SYSTEM}:
        able = [
            role.name
            for role in tx.roles.values()
            if fits(role, where)
            and (kind is Kind.GROUP or kind in role.holders)
            and (asked is None or covers(role_gives(role, where, tx.catalog.member_permissions), asked))
        ]
        if able:
            parts.append(and_(_a.c.scope == where, _a.c.role.in_(able)))
    if not parts:
        return None
    begun = or_(_a.c.starts.is_(None), _a.c.starts <= tx.now)
    return and_(or_(*parts), begun, or_(_a.c.ends.is_(None), _a.c.ends > tx.now))


def _groups(tx: Read, giving: ColumnElement[bool], shut: Iterable[Identity]) -> dict[Identity, Way]:
    """Return every group whose members get something, each by its shortest way; no way leads through a locked one."""
    query = select(_a.c.identity, _a.c.role, _a.c.scope).where(giving, _a.c.identity.like(f"{Kind.GROUP}:%"))
    front: dict[Identity, Way] = {}
    for row in tx.conn.execute(query.order_by(_a.c.id)):
        group = Identity.parse(row.identity)
        front.setdefault(group, (row.role, row.scope, (group,)))
    found: dict[Identity, Way] = {}
    closed = set(shut)
    for _ in range(MAX_DEPTH):
        front = {group: way for group, way in front.items() if group not in found and group not in closed}
        if not front:
            break
        found |= front
        below: dict[Identity, Way] = {}
        for member, group in _members_of(tx, Kind.GROUP, front):
            role, scope, via = front[group]
            below.setdefault(member, (role, scope, (member, *via)))
        front = below
    return found


def _members(
    tx: Read, giving: ColumnElement[bool], groups: dict[Identity, Way], kind: Kind, after: str
) -> tuple[dict[Identity, Way], str | None]:
    """Return whom an assignment reaches, and the name from which on some may be missing; None: nobody is."""
    ways: dict[Identity, Way] = {}
    ends: list[str] = []
    holder = _binary(tx, _a.c.identity)
    low = f"{kind}:{after}"
    query = select(_a.c.identity, _a.c.role, _a.c.scope).where(giving, _a.c.identity.like(f"{kind}:%"), holder > low)
    rows = tx.conn.execute(query.order_by(holder, _a.c.id).limit(MOST_ROWS + 1)).all()
    for row in rows:
        ways.setdefault(Identity.parse(row.identity), (row.role, row.scope, ()))
    if len(rows) > MOST_ROWS:
        ends.append(Identity.parse(rows[-1].identity).name)
    for chunk in chunks(list(groups)):
        pairs = list(_members_of(tx, kind, chunk, low))
        for member, group in pairs:
            role, scope, via = groups[group]
            if member not in ways or len(via) < len(ways[member][2]):
                ways[member] = (role, scope, via)
        if len(pairs) > MOST_ROWS:
            ends.append(pairs[-1][0].name)
    return ways, min(ends, default=None)


def _members_of(
    tx: Read, kind: Kind, groups: Iterable[Identity], low: str | None = None
) -> Iterator[tuple[Identity, Identity]]:
    """Yield member and group of what counts now (R63); from a member on, in order and bounded."""
    seen = tx.now - timedelta(seconds=tx.settings.group_max_age_seconds)
    member = _binary(tx, _m.c.member)
    counts = or_(_m.c.provider.is_(None), _m.c.seen_at > seen)
    query = select(_m.c.member, _g.c.name).join(_g, _g.c.id == _m.c.group_id)
    query = query.where(counts, _m.c.member.like(f"{kind}:%")).order_by(member, _g.c.name)
    if low is not None:
        query = query.where(member > low).limit(MOST_ROWS + 1)
    for chunk in chunks([group.name for group in groups]):
        for row in tx.conn.execute(query.where(_g.c.name.in_(chunk))):
            yield Identity.parse(row.member), Identity.group(row.name)


def _present(tx: Read, kind: Kind, names: list[str]) -> set[str]:
    """Return who of them is registered and active."""
    if kind is Kind.GROUP:
        return set(names)
    table = tables.users if kind is Kind.USER else tables.service_accounts
    found: set[str] = set()
    for chunk in chunks(names):
        found |= set(tx.conn.execute(select(table.c.name).where(table.c.name.in_(chunk), table.c.active)).scalars())
    return found


def _locked(tx: Read, target: LockTarget, names: list[str] | None) -> list[str]:
    query = select(_l.c.name).where(_l.c.target == target.value, or_(_l.c.ends.is_(None), _l.c.ends > tx.now))
    if names is not None:
        query = query.where(_l.c.name.in_(names))
    return list(tx.conn.execute(query).scalars())


def _binary(tx: Read, column: Any) -> Any:
    # By code points, as Python and SQLite compare; PostgreSQL would go by the language of the database.
    return column.collate("C") if tx.conn.dialect.name == "postgresql" else column
