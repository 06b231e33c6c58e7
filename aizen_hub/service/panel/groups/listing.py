"""The list of groups: what each holds, what it gives and where it is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from sqlalchemy import ColumnElement, exists, func, literal, or_, select

from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.service.panel.identity_rows import HeldSummary, contains_text, summarize_roles
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText, Page, PageQuery, Sort, read_page
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.panel.visibility import Viewer
    from aizen_hub.store.transaction import ReadTransaction

_g, _m, _a = tables.groups, tables.memberships, tables.assignments
KEPT_HERE = "local"
"""As the filter for where a group is kept: not in a directory."""
SORTS = (Sort("name", (_g.c.name,)),)


class GroupState(StrEnum):
    EMPTY = "empty"
    GRANTS_NOTHING = "nothing"


class GroupsQuery(PageQuery):
    """Which groups are listed.

    Attributes
    ----------
    q : str or None
        Part of the name or the description.
    origin : str or None
        A provider, or `KEPT_HERE`.
    project : str or None
        Groups with a role in it.
    """

    q: OptionalText = None
    origin: OptionalText = None
    project: OptionalText = None
    state: Annotated[GroupState | None, EMPTY_IS_NONE] = None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group of the list, with the number of its direct members of each kind, where the viewer sees its members."""

    name: str
    description: str
    provider: str | None
    is_default: bool
    built_in: bool
    people: int
    groups: int
    service_accounts: int
    roles: tuple[HeldSummary, ...]
    shows_members: bool

    @property
    def is_unused(self) -> bool:
        """Whether it holds no one and gives nothing, and may be deleted."""
        held = self.people or self.groups or self.service_accounts
        return self.shows_members and not (held or self.roles or self.built_in)


def list_groups(viewer: Viewer, query: GroupsQuery) -> tuple[Page, tuple[GroupRow, ...]]:
    """Return a page of the groups that the viewer may see.

    Raises
    ------
    BadInput
        The address is not one of this list.
    """
    page = read_page(viewer.tx, select(_g).where(*_visible(viewer), *_conditions(viewer, query)), SORTS, query)
    return page, _complete_rows(viewer, page.rows)


def count_groups(viewer: Viewer) -> dict[str, int]:
    """Return how many of the visible groups are kept here, are empty and give nothing."""
    count = select(func.count()).select_from(_g).where(*_visible(viewer))
    conditions = {
        KEPT_HERE: _g.c.provider.is_(None),
        GroupState.EMPTY.value: _is_empty(),
        GroupState.GRANTS_NOTHING.value: _grants_nothing(viewer),
    }
    return {name: viewer.tx.conn.execute(count.where(where)).scalar_one() for name, where in conditions.items()}


def _visible(viewer: Viewer) -> list[ColumnElement[bool]]:
    return [] if viewer.groups is None else [_g.c.name.in_(sorted(viewer.groups))]


def _is_empty() -> ColumnElement[bool]:
    return ~exists(select(_m.c.id).where(_m.c.group_id == _g.c.id))


def _grants_nothing(viewer: Viewer) -> ColumnElement[bool]:
    return ~_has_role(viewer.projects)


def _has_role(scopes: frozenset[str] | None) -> ColumnElement[bool]:
    in_scopes = () if scopes is None else (_a.c.scope.in_(sorted(scopes)),)
    return exists(select(_a.c.id).where(_a.c.identity == literal("group:") + _g.c.name, *in_scopes))


def _conditions(viewer: Viewer, query: GroupsQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.q is not None and (text := query.q.strip()):
        conditions.append(or_(*(contains_text(viewer.tx, column, text) for column in (_g.c.name, _g.c.description))))
    if query.origin is not None:
        conditions.append(_g.c.provider.is_(None) if query.origin == KEPT_HERE else _g.c.provider == query.origin)
    if query.project is not None:
        scopes = frozenset({query.project})
        conditions.append(_has_role(scopes if viewer.projects is None else scopes & viewer.projects))
    if query.state is GroupState.EMPTY:
        conditions.append(_is_empty())
    elif query.state is GroupState.GRANTS_NOTHING:
        conditions.append(_grants_nothing(viewer))
    return conditions


def _complete_rows(viewer: Viewer, rows: Sequence[Any]) -> tuple[GroupRow, ...]:
    visible = {row.id for row in rows if viewer.sees_members(row.name)}
    members = count_members(viewer.tx, sorted(visible))
    roles = summarize_roles(viewer.tx, [f"group:{row.name}" for row in rows], viewer.projects)
    return tuple(
        GroupRow(
            row.name,
            row.description,
            row.provider,
            row.is_default,
            row.built_in,
            members[row.id][IdentityKind.USER],
            members[row.id][IdentityKind.GROUP],
            members[row.id][IdentityKind.SERVICE_ACCOUNT],
            roles.get(f"group:{row.name}", ()),
            row.id in visible,
        )
        for row in rows
    )


def count_members(tx: ReadTransaction, group_ids: Sequence[int]) -> defaultdict[int, defaultdict[IdentityKind, int]]:
    """Return the number of direct members of some groups, by kind."""
    counts: defaultdict[int, defaultdict[IdentityKind, int]] = defaultdict(lambda: defaultdict(int))
    members = _m.c.member.distinct()
    for kind in IdentityKind:
        query = select(_m.c.group_id, func.count(members)).where(
            _m.c.group_id.in_(group_ids), _m.c.member.like(f"{kind}:%")
        )
        for group_id, number in tx.conn.execute(query.group_by(_m.c.group_id)):
            counts[group_id][kind] = number
    return counts
