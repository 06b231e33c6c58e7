"""Searching the audit: from its newest end, through one narrow index, whatever is asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.store.store import Store
from tests.audit.conftest import Archive
from tests.store import world

FILTERS = [
    AuditFilter(),
    AuditFilter(identity="user:u1"),
    AuditFilter(project="p1"),
    AuditFilter(projects=frozenset({"p1", "p2"})),
    AuditFilter(event="looked"),
    AuditFilter(identity="user:u1", project="p1", event="looked"),
    AuditFilter(identity="user:u1", since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2027, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize("where", FILTERS)
def test_no_search_sorts_or_reads_whole_rows_that_do_not_fit(archive: Archive, where: AuditFilter) -> None:
    store = Store.open(archive.settings, world.catalog())
    asked: list[tuple[str, Any]] = []
    try:
        with store.read() as tx:
            event.listen(tx.conn, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
            newest(tx.conn, where)
            text, values = asked[0]
            plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    finally:
        store.close()
    assert "USING INDEX ix_audit_found" in plan[0]
    # Rows of the same microsecond alone are sorted; how that is called depends on SQLite's version.
    assert plan[1:] in (
        ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"],
        ["USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY"],
    )
