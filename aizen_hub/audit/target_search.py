"""Search of the audit for what was done to one identity."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from aizen_hub.audit.search import AuditFilter
from aizen_hub.audit.timeline_search import TimelineCursor, TimelineQuery, is_target, read_timeline

_MAX_PAGES = 50
_PAGE = 5_000
"""Rows of one page that mention the identity: most of those of an active user are what the user did."""


class TargetRows(NamedTuple):
    """Records about an identity, newest first.

    Attributes
    ----------
    examined_until : datetime or None
        The time of the oldest row that was read, where the bound on rows ended the search early.
    """

    records: list[dict[str, Any]]
    examined_until: datetime | None


def search_target(conn: Connection, row_filter: AuditFilter, target: str, limit: int) -> TargetRows:
    """Return the newest records of what was done to ``target``, ``kind:name``.

    The target is in the body of a row, for which there is no index: at most some 200,000 rows are read.
    """
    query, records = TimelineQuery(row_filter, about=target), []
    cursor: TimelineCursor | None = None
    for _ in range(_MAX_PAGES):
        page = read_timeline(conn, query, cursor, limit=_PAGE)
        records += [record for record in page.records if is_target(record, target)]
        cursor = page.next
        if cursor is None or len(records) >= limit:
            return TargetRows(records[:limit], None)
    return TargetRows(records, None if cursor is None else cursor.at)
