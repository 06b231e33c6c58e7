"""Reading the audit: the newest rows that fit, or all of them in their order."""

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
MAX_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What to look for; None is everything. ``since`` is inclusive, ``until`` exclusive.

    ``projects`` bounds the rows to those of some projects, for people whose right to read ends there; an empty set
    shows nothing.
    """

    identity: str | None = None
    project: str | None = None
    event: str | None = None
    id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    projects: frozenset[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        wanted: list[ColumnElement[bool]] = []
        for column, value in (
            (_audit.identity, self.identity),
            (_audit.project, self.project),
            (_audit.event, self.event),
            (_audit.id, self.id),
        ):
            if value is not None:
                wanted.append(column == value)
        if self.since is not None:
            wanted.append(_audit.at >= self.since)
        if self.until is not None:
            wanted.append(_audit.at < self.until)
        if self.projects is not None:
            wanted.append(_audit.project.in_(sorted(self.projects)))
        return wanted


EVERYTHING = AuditFilter()


def newest(conn: Connection, where: AuditFilter = EVERYTHING, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest rows, newest first, as the JSON objects they were recorded as, with writer and number."""
    query = select(tables.audit).where(*where.conditions())
    query = query.order_by(_audit.at.desc(), _audit.writer, _audit.number.desc()).limit(min(limit, MAX_SHOWN))
    return [as_json(row) for row in conn.execute(query)]


def every(conn: Connection, where: AuditFilter = EVERYTHING) -> Iterator[dict[str, Any]]:
    """Return all rows that fit, writer by writer in the order of their numbers, without holding them all."""
    key: tuple[str, int] = ("", 0)
    while True:
        after = (_audit.writer > key[0]) | ((_audit.writer == key[0]) & (_audit.number > key[1]))
        query = select(tables.audit).where(after, *where.conditions())
        page = conn.execute(query.order_by(_audit.writer, _audit.number).limit(_PAGE)).all()
        if not page:
            return
        for row in page:
            yield as_json(row)
        key = (page[-1].writer, page[-1].number)


def as_json(row: Row[Any]) -> dict[str, Any]:
    """Return a row as an object; the columns of the chain are added as ``writer``, ``number`` and ``hash``."""
    body: dict[str, Any] = json.loads(bytes(row.body))
    return {**body, "writer": row.writer, "number": row.number, "hash": bytes(row.hash).hex()}
