"""The members of a project as a table: each assignment with its source, paged in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Select,
    Subquery,
    and_,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
)

from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.store.collation import in_code_points
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.store.timestamps import UtcDateTime

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_a, _g, _m, _u = tables.assignments, tables.groups, tables.memberships, tables.users
_GROUP_PREFIX = f"{IdentityKind.GROUP}:"
_USER_PREFIX = f"{IdentityKind.USER}:"
_LAST_TIME = 2**62


class MemberSort(StrEnum):
    """The column by which members are sorted."""

    ACCOUNT = "account"
    ROLE = "role"
    UNTIL = "until"


class MemberSource(StrEnum):
    """Where a role comes from."""

    DIRECT = "direct"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One role that an account has in the project, directly or through a group.

    Attributes
    ----------
    assignment_id : int
    holder : Identity
        Who the role is assigned to: the account itself, or a group that contains it.
    starts : datetime or None
        Set only where the role is not in effect yet.
    creator, mapped : bool
        Of the assignment: the automatic role of the project's creator; one that a mapping rule gave.
    """

    account: Identity
    display_name: str
    assignment_id: int
    holder: Identity
    role: str
    starts: datetime | None
    ends: datetime | None
    granted_by: str
    granted: datetime
    reason: str
    creator: bool
    mapped: bool

    @property
    def is_direct(self) -> bool:
        return self.account == self.holder


@dataclass(frozen=True, slots=True)
class RosterFilter:
    """Which members are listed; empty values do not restrict."""

    text: str = ""
    role: str = ""
    source: MemberSource | None = None
    ends_before: datetime | None = None


def roster_of(tx: ReadTransaction, project: str, criteria: RosterFilter) -> Subquery:
    """Return the query of the members of a project: a row for each account and assignment that reaches it.

    Assignments that have ended are left out. The caller has checked that the actor may list the members.
    """
    assigned = _assigned(tx, project, criteria)
    parts = []
    if criteria.source is not MemberSource.GROUP:
        parts.append(select(assigned.c.identity.label("account"), *assigned.c))
    if criteria.source is not MemberSource.DIRECT:
        parts.append(_through_groups(tx, assigned))
    members = union_all(*parts).subquery() if len(parts) > 1 else parts[0].subquery()
    if not criteria.text:
        return members
    text = criteria.text.casefold()
    if tx.conn.dialect.name == "postgresql":
        name = func.split_part(members.c.account, ":", 2)
    else:
        name = func.substr(members.c.account, func.instr(members.c.account, ":") + 1)
    of_user = and_(members.c.account.startswith(_USER_PREFIX), _u.c.name == name)
    in_name = name.contains(text, autoescape=True)
    in_display_name = func.lower(_u.c.display_name).contains(text, autoescape=True)
    return select(members).outerjoin(_u, of_user).where(or_(in_name, in_display_name)).subquery()


def sort_columns(tx: ReadTransaction, members: Subquery, sort: MemberSort) -> list[Any]:
    """Return the columns of an order of `roster_of`; none is ever NULL, and all together are unique."""
    account, role = in_code_points(tx, members.c.account), in_code_points(tx, members.c.role)
    match sort:
        case MemberSort.ROLE:
            return [role, account, members.c.id]
        case MemberSort.UNTIL:
            ends = func.coalesce(type_coerce(members.c.ends, BigInteger), literal(_LAST_TIME, BigInteger))
            return [ends, account, members.c.id]
    return [account, role, members.c.id]


def to_rows(tx: ReadTransaction, rows: Sequence[Any]) -> list[RosterRow]:
    """Return the members that rows of `roster_of` describe, with their names."""
    names = _display_names(tx, [row.account for row in rows])
    return [_to_row(tx, row, names) for row in rows]


def count_accounts(tx: ReadTransaction, members: Subquery, *, with_groups: bool = True) -> int:
    """Return how many users, groups and service accounts there are in a roster."""
    query = select(func.count(members.c.account.distinct()))
    if not with_groups:
        query = query.where(members.c.account.not_like(f"{_GROUP_PREFIX}%"))
    return tx.conn.execute(query).scalar_one()


def member_identities(
    tx: ReadTransaction, project: str, criteria: RosterFilter, *, after: str = "", limit: int
) -> list[Identity]:
    """Return the users and service accounts with a role in the project, in the order of their identities.

    Parameters
    ----------
    after : str
        Only identities, as ``kind:name``, greater than this one.
    """
    members = roster_of(tx, project, criteria)
    account = in_code_points(tx, members.c.account)
    names = tx.conn.execute(
        select(account)
        .where(members.c.account.not_like(f"{_GROUP_PREFIX}%"), account > after)
        .distinct()
        .order_by(account)
        .limit(limit)
    ).scalars()
    return [Identity.parse(name) for name in names]


def last_activity(tx: ReadTransaction, project: str, accounts: Sequence[Identity]) -> dict[Identity, datetime]:
    """Return when each of these users last had a running server in the project."""
    s = tables.sessions
    result: dict[Identity, datetime] = {}
    users = [account.name for account in accounts if account.kind is IdentityKind.USER]
    for chunk in chunked(sorted(set(users))):
        query = select(s.c.user, type_coerce(func.max(s.c.last_seen), UtcDateTime()).label("at"))
        for row in tx.conn.execute(query.where(s.c.user.in_(chunk), s.c.project == project).group_by(s.c.user)):
            result[Identity.user(row.user)] = row.at
    return result


def count_by_role(tx: ReadTransaction, members: Subquery) -> dict[str, int]:
    """Return how many accounts have each role of a roster, by the name of the role."""
    query = select(members.c.role, func.count(members.c.account.distinct())).group_by(members.c.role)
    return dict(tx.conn.execute(query.order_by(members.c.role)).all())


def _assigned(tx: ReadTransaction, project: str, criteria: RosterFilter) -> CTE:
    query = select(_a).where(_a.c.scope == project, or_(_a.c.ends.is_(None), _a.c.ends > tx.now))
    if criteria.role:
        query = query.where(_a.c.role == criteria.role)
    if criteria.ends_before is not None:
        query = query.where(_a.c.ends <= criteria.ends_before)
    # A CTE that is read twice is computed once. As a subquery, SQLite may read the assignments of all projects.
    return query.cte("assigned")


def _through_groups(tx: ReadTransaction, assigned: CTE) -> Select[Any]:
    """Return the members of the assigned groups, and of the groups nested in them."""
    reach = (
        select(assigned.c.identity.label("top"), _g.c.id.label("group_id"))
        .join(_g, assigned.c.identity == literal(_GROUP_PREFIX) + _g.c.name)
        .cte("reach", recursive=True)
    )
    nested = (
        select(reach.c.top, _g.c.id)
        .join(_m, _m.c.group_id == reach.c.group_id)
        .join(_g, _m.c.member == literal(_GROUP_PREFIX) + _g.c.name)
        .where(_is_current(tx))
    )
    reach = reach.union(nested)  # without duplicates, so that a cycle of groups ends
    reached = (
        select(_m.c.member, reach.c.top)
        .join(reach, _m.c.group_id == reach.c.group_id)
        .where(_m.c.member.not_like(f"{_GROUP_PREFIX}%"), _is_current(tx))
        .distinct()
        .subquery()
    )
    return select(reached.c.member.label("account"), *assigned.c).join(reached, reached.c.top == assigned.c.identity)


def _is_current(tx: ReadTransaction) -> Any:
    oldest_valid = tx.now - timedelta(seconds=tx.settings.group_max_age_seconds)
    return or_(_m.c.provider.is_(None), _m.c.seen_at > oldest_valid)


def _display_names(tx: ReadTransaction, accounts: Sequence[str]) -> dict[str, str]:
    names = sorted({account.removeprefix(_USER_PREFIX) for account in accounts if account.startswith(_USER_PREFIX)})
    rows = tx.conn.execute(select(_u.c.name, _u.c.display_name).where(_u.c.name.in_(names)))
    return {_USER_PREFIX + row.name: row.display_name for row in rows}


def _to_row(tx: ReadTransaction, row: Any, names: dict[str, str]) -> RosterRow:
    return RosterRow(
        Identity.parse(row.account),
        names.get(row.account, ""),
        row.id,
        Identity.parse(row.identity),
        row.role,
        row.starts if row.starts is not None and row.starts > tx.now else None,
        row.ends,
        row.granted_by,
        row.granted,
        row.reason,
        row.creator,
        row.mapped,
    )
