"""What a viewer finds by a part of a name: people, groups, service accounts, projects, roles; the best first (R72)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func, or_, select

from aizen_hub.accounts.names import normalization
from aizen_hub.authorization import checks
from aizen_hub.service.panel.fields.names import closest_names
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.identity_rows import contains_text
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked

MAX_TEXT = 100
_MAX_ALIKE = 50
_MAX_FEW = 2_000
"""Matches that are read and ordered here."""
_QUESTION = re.compile(
    r"(?:why\s+)?(?:can|can't|cannot|may|could)\s+(?:not\s+)?(\S+)\s+(.+?)(?:\s+in\s+(\S+?))?\s*\??", re.IGNORECASE
)
_SELF = frozenset({"i", "me", "myself"})


class Kind(StrEnum):
    """What can be found; the value is used in addresses."""

    PERSON = "people"
    GROUP = "groups"
    SERVICE_ACCOUNT = "service-accounts"
    PROJECT = "projects"
    ROLE = "roles"


@dataclass(frozen=True, slots=True)
class Match:
    """One object.

    Attributes
    ----------
    kind : Kind
    name : str
    text : str
        Its display name or description; may be empty.
    page : str
        Below the prefix.
    """

    kind: Kind
    name: str
    text: str
    page: str


@dataclass(frozen=True, slots=True)
class Matches:
    """The best matches of one kind, and how many there are."""

    kind: Kind
    rows: Sequence[Match]
    total: int


@dataclass(frozen=True, slots=True)
class TypedQuestion:
    """A question about access, as one types it; ``page`` answers it."""

    who: str
    command: str
    project: str | None
    page: str


def find_matches(viewer: Viewer, text: str, kinds: Iterable[Kind], limit: int) -> tuple[Matches, ...]:
    """Return the objects of each kind whose name, display name or description contains a text; none for an empty one.

    Parameters
    ----------
    limit : int
        Of each kind; exact names come first, then beginnings.
    """
    text = text.strip()[:MAX_TEXT]
    if not text:
        return ()
    return tuple(_FINDERS[kind](viewer, text, limit) for kind in kinds)


def exact_match(found: Iterable[Matches], text: str) -> Match | None:
    """Return the only object that has exactly this name, over all kinds; else None."""
    text = text.strip().casefold()
    rows = [row for matches in found for row in matches.rows if row.name.casefold() == text]
    return rows[0] if len(rows) == 1 else None


def parse_question(viewer: Viewer, text: str) -> TypedQuestion | None:
    """Return the question that a text asks, such as *can rita start training in churn*; None if it is none.

    Whether the person and the project exist is left to the page that answers: both are treated alike there (R72).
    """
    asked = _QUESTION.fullmatch(" ".join(text.split()))
    if asked is None:
        return None
    who = viewer.identity.name if asked[1].lower() in _SELF else normalization.canonical_or_none(asked[1])
    command = _known_command(viewer, asked[2])
    if who is None or command is None:
        return None
    page = page_path("why", who=who, do=command, in_=asked[3])
    return TypedQuestion(who, command, asked[3], page)


def _known_command(viewer: Viewer, text: str) -> str | None:
    """Return the command of the catalog that a text begins with, the longest one."""
    words = text.lower().split()
    known = {*viewer.tx.catalog.commands, *viewer.tx.catalog.aliases}
    for count in range(len(words), 0, -1):
        if (name := " ".join(words[:count])) in known:
            return name
    return None


# -- each kind --------------------------------------------------------------------------------------------------------


def _find_people(viewer: Viewer, text: str, limit: int) -> Matches:
    u = tables.users
    columns = (u.c.name, u.c.display_name, *((u.c.email,) if viewer.sees_all else ()))
    return _find_rows(viewer, Kind.PERSON, u, u.c.display_name, columns, viewer.people, text, limit)


def _find_groups(viewer: Viewer, text: str, limit: int) -> Matches:
    g = tables.groups
    return _find_rows(viewer, Kind.GROUP, g, g.c.description, (g.c.name, g.c.description), viewer.groups, text, limit)


def _find_service_accounts(viewer: Viewer, text: str, limit: int) -> Matches:
    s = tables.service_accounts
    columns = (s.c.name, s.c.description)
    return _find_rows(viewer, Kind.SERVICE_ACCOUNT, s, s.c.description, columns, viewer.service_accounts, text, limit)


def _find_projects(viewer: Viewer, text: str, limit: int) -> Matches:
    p = tables.projects
    columns = (p.c.name, p.c.description)
    if viewer.projects is None:
        return _find_rows(viewer, Kind.PROJECT, p, p.c.description, columns, None, text, limit)
    # The projects of a member are found too; what is shown of them is their own access.
    own = {row.name for row in checks.visible_projects(viewer.tx, viewer.identity)}
    found = _find_rows(viewer, Kind.PROJECT, p, p.c.description, columns, own | viewer.projects, text, limit)
    rows = [row if viewer.sees_project(row.name) else Match(row.kind, row.name, row.text, "me") for row in found.rows]
    return Matches(Kind.PROJECT, rows, found.total)


def _find_roles(viewer: Viewer, text: str, limit: int) -> Matches:
    needle = text.casefold()
    found = [
        Match(Kind.ROLE, role.name, role.description, page_path("roles", role.name))
        for role in viewer.tx.roles.values()
        if needle in role.name.casefold() or needle in role.description.casefold()
    ]
    found.sort(key=lambda row: (_rank(row.name, needle), row.name))
    return Matches(Kind.ROLE, found[:limit], len(found))


def _rank(name: str, needle: str) -> int:
    name = name.casefold()
    return 0 if name == needle else 1 if name.startswith(needle) else 2 if needle in name else 3


def _find_rows(
    viewer: Viewer,
    kind: Kind,
    table: Table,
    shown: ColumnElement[str],
    columns: Sequence[ColumnElement[str]],
    visible: Collection[str] | None,
    text: str,
    limit: int,
) -> Matches:
    """Return the rows of a table that contain a text in one of the columns, among the names that are visible."""
    condition = or_(*(contains_text(viewer.tx, column, text) for column in columns))
    lowered, needle = func.lower(table.c.name), text.lower()
    rank = case(
        (lowered == needle, 0),
        (lowered.startswith(needle, autoescape=True), 1),
        (contains_text(viewer.tx, table.c.name, text), 2),
        else_=3,
    )
    query = select(table.c.name, shown.label("text"), rank.label("rank")).where(condition)
    rows: list[Any] = []
    if visible is None:
        # Where few match, all rows of the table are gone through once, and not for the count again.
        rows += viewer.tx.conn.execute(query.limit(_MAX_FEW + 1)).all()
    else:
        for names in chunked(sorted(visible)):
            rows += viewer.tx.conn.execute(query.where(table.c.name.in_(names))).all()
    if visible is None and len(rows) > _MAX_FEW:
        rows = list(viewer.tx.conn.execute(query.order_by(rank, table.c.name).limit(limit)).all())
        total = viewer.tx.conn.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
    else:
        total = len(rows)
        rows = sorted(rows, key=lambda row: (row.rank, row.name))[:limit]
    found = [Match(kind, row.name, row.text or "", page_path(kind, row.name)) for row in rows]
    return Matches(kind, found, total)


_FINDERS: Mapping[Kind, Callable[[Viewer, str, int], Matches]] = {
    Kind.PERSON: _find_people,
    Kind.GROUP: _find_groups,
    Kind.SERVICE_ACCOUNT: _find_service_accounts,
    Kind.PROJECT: _find_projects,
    Kind.ROLE: _find_roles,
}


def alike_pages(viewer: Viewer, path: str, params: Mapping[str, str], limit: int = 3) -> list[Match]:
    """Return the visible objects whose names are alike the one that an address names: for *did you mean*.

    Parameters
    ----------
    path : str
        Of the route: its first segment tells the kind.
    params : mapping of str to str
        Of the path; the first one is the name.
    """
    folder = path.removeprefix("/").partition("/")[0]
    if folder not in set(Kind) or not params:
        return []
    name = next(iter(params.values())).casefold()[:MAX_TEXT]
    parts = dict.fromkeys(part for part in (name[:3], name[1:4], name[-3:], name[:2]) if len(part) > 1)
    found = {row.name: row for part in parts for row in _FINDERS[Kind(folder)](viewer, part, _MAX_ALIKE).rows}
    return [found[match] for match in closest_names(name, found, limit) if match.casefold() != name]
