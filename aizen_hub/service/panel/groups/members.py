"""Who is in a group: its direct members page by page, the groups inside it, and everyone whom these contain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select

from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.service.panel.groups.listing import count_members
from aizen_hub.service.panel.paging import Page, PageQuery, Sort, read_page
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_g, _m, _u = tables.groups, tables.memberships, tables.users
SORTS = (Sort("name", (_m.c.member, _m.c.id)),)
MAX_NODES = 100
"""Groups of one tree; where there are more, the page says so."""
NAMED_IN_TREE = 8
"""People of one group who are named in the tree."""


@dataclass(frozen=True, slots=True)
class GroupNode:
    """One group in the tree of a group; ``names`` are the first of its ``people`` direct members who are users."""

    name: str
    provider: str | None
    people: int
    names: tuple[str, ...]
    groups: tuple[GroupNode, ...]


@dataclass(frozen=True, slots=True)
class GroupTree:
    """A group with everything in it.

    Attributes
    ----------
    people : int
        Users in it in any way, each counted once.
    repeated : tuple of str
        Some users who are in it in several ways: the end of one of them changes nothing for them.
    is_complete : bool
        Whether all groups in it are shown.
    """

    root: GroupNode
    people: int
    repeated: tuple[str, ...]
    is_complete: bool


def list_members(tx: ReadTransaction, group_id: int, query: PageQuery) -> Page:
    """Return a page of the direct members, with the name and state of those who are users."""
    rows = (
        select(_m.c.id, _m.c.member, _m.c.provider, _m.c.seen_at, _u.c.display_name, _u.c.active)
        .outerjoin(_u, and_(_m.c.member.like("user:%"), _u.c.name == func.substr(_m.c.member, len("user:") + 1)))
        .where(_m.c.group_id == group_id)
    )
    total = tx.conn.execute(select(func.count()).select_from(_m).where(_m.c.group_id == group_id)).scalar_one()
    return read_page(tx, rows, SORTS, query, total=total)


def read_tree(tx: ReadTransaction, row: Any) -> GroupTree:
    """Return everything that is in a group."""
    children, groups, is_complete = _read_nested(tx, row)
    people = count_members(tx, list(groups))
    names = {group_id: _first_names(tx, group_id) for group_id in groups}

    def build(group_id: int, path: frozenset[int]) -> GroupNode:
        nested = [child for child in children.get(group_id, ()) if child not in path]
        return GroupNode(
            groups[group_id].name,
            groups[group_id].provider,
            people[group_id][IdentityKind.USER],
            names[group_id],
            tuple(build(child, path | {child}) for child in nested),
        )

    ids = list(groups)
    return GroupTree(
        build(row.id, frozenset({row.id})),
        count_people(tx, ids),
        _repeated_people(tx, ids) if len(ids) > 1 else (),
        is_complete,
    )


def count_people(tx: ReadTransaction, group_ids: Sequence[int]) -> int:
    """Return the number of users who are directly in at least one of some groups."""
    return tx.conn.execute(
        select(func.count(_m.c.member.distinct())).where(_m.c.group_id.in_(group_ids), _m.c.member.like("user:%"))
    ).scalar_one()


def _read_nested(tx: ReadTransaction, root: Any) -> tuple[dict[int, list[int]], dict[int, Any], bool]:
    """Return the groups in each group, the row of each, and whether these are all; nested no deeper than has effect."""
    groups: dict[int, Any] = {root.id: root}
    children: defaultdict[int, list[int]] = defaultdict(list)
    frontier = [root.id]
    for _ in range(MAX_DEPTH):
        query = (
            select(_m.c.group_id.label("parent"), _g)
            .join(_g, and_(_m.c.member.like("group:%"), _g.c.name == func.substr(_m.c.member, len("group:") + 1)))
            .where(_m.c.group_id.in_(frontier))
            .order_by(_g.c.name)
        )
        frontier = []
        for row in tx.conn.execute(query):
            if row.id not in groups:
                if len(groups) >= MAX_NODES:
                    return children, groups, False
                groups[row.id] = row
                frontier.append(row.id)
            if row.id not in children[row.parent]:
                children[row.parent].append(row.id)
        if not frontier:
            break
    return children, groups, True


def _first_names(tx: ReadTransaction, group_id: int) -> tuple[str, ...]:
    query = select(_m.c.member).where(_m.c.group_id == group_id, _m.c.member.like("user:%")).distinct()
    rows = tx.conn.execute(query.order_by(_m.c.member).limit(NAMED_IN_TREE)).scalars()
    return tuple(member.removeprefix("user:") for member in rows)


def _repeated_people(tx: ReadTransaction, group_ids: Sequence[int]) -> tuple[str, ...]:
    query = (
        select(_m.c.member)
        .where(_m.c.group_id.in_(group_ids), _m.c.member.like("user:%"))
        .group_by(_m.c.member)
        .having(func.count(_m.c.group_id.distinct()) > 1)
    )
    rows = tx.conn.execute(query.order_by(_m.c.member).limit(NAMED_IN_TREE)).scalars()
    return tuple(member.removeprefix("user:") for member in rows)
