"""Search of the audit: the newest matching rows, or all of them in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from aizen_hub.store import tables

_audit = tables.audit.c
_PAGE = 1_000
MAX_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions on audit rows; None means any. ``since`` is inclusive, ``until`` exclusive.

    ``projects`` restricts the rows to those of some projects, for users who may read the audit only there; an empty set
    matches nothing.
    """

    identity: str | None = None
    project: str | None = None
    event: str | None = None
    id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    projects: frozenset[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a query."""
        conditions: list[ColumnElement[bool]] = []
        for column, value in (
            (_audit.identity, self.identity),
            (_audit.project, self.project),
            (_audit.event, self.event),
            (_audit.id, self.id),
        ):
            if value is not None:
                conditions.append(column == value)
        if self.since is not None:
            conditions.append(_audit.at >= self.since)
        if self.until is not None:
            conditions.append(_audit.at < self.until)
        if self.projects is not None:
            conditions.append(_audit.project.in_(sorted(self.projects)))
        return conditions


NO_FILTER = AuditFilter()


def search_newest(conn: Connection, row_filter: AuditFilter = NO_FILTER, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest rows, newest first, as JSON objects; see `row_to_json`."""
    query = select(tables.audit).where(*row_filter.conditions())
    query = query.order_by(_audit.at.desc(), _audit.writer, _audit.number.desc()).limit(min(limit, MAX_ROWS))
    return [row_to_json(row) for row in conn.execute(query)]


def iterate_rows(conn: Connection, row_filter: AuditFilter = NO_FILTER) -> Iterator[dict[str, Any]]:
    """Yield all matching rows, writer by writer in the order of their numbers, page by page."""
    key: tuple[str, int] = ("", 0)
    while True:
        after = (_audit.writer > key[0]) | ((_audit.writer == key[0]) & (_audit.number > key[1]))
        query = select(tables.audit).where(after, *row_filter.conditions())
        page = conn.execute(query.order_by(_audit.writer, _audit.number).limit(_PAGE)).all()
        if not page:
            return
        for row in page:
            yield row_to_json(row)
        key = (page[-1].writer, page[-1].number)


def row_to_json(row: Row[Any]) -> dict[str, Any]:
    """Return a row as its recorded JSON object, with ``writer``, ``number`` and ``hash`` of the chain added."""
    body: dict[str, Any] = json.loads(bytes(row.body))
    return {**body, "writer": row.writer, "number": row.number, "hash": bytes(row.hash).hex()}
