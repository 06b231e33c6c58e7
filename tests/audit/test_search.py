"""Search of the audit: from its newest end, through one narrow index, with any filter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.store.sql_store import Store
from tests.audit.conftest import AuditedDatabase
from tests.store import store_rows

FILTERS = [
    AuditFilter(),
    AuditFilter(identity="user:u1"),
    AuditFilter(project="p1"),
    AuditFilter(projects=frozenset({"p1", "p2"})),
    AuditFilter(event="looked"),
    AuditFilter(identity="user:u1", project="p1", event="looked"),
    AuditFilter(identity="user:u1", since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2027, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize("row_filter", FILTERS)
def test_no_search_sorts_or_reads_rows_that_do_not_match(
    audited_database: AuditedDatabase, row_filter: AuditFilter
) -> None:
    store = Store.open(audited_database.settings, store_rows.catalog())
    statements: list[tuple[str, Any]] = []
    try:
        with store.read() as tx:
            event.listen(tx.conn, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
            search_newest(tx.conn, row_filter)
            text, values = statements[0]
            plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    finally:
        store.close()
    assert "USING INDEX ix_audit_search" in plan[0]
    # Only rows of the same microsecond are sorted; the wording depends on SQLite's version.
    assert plan[1:] in (
        ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"],
        ["USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY"],
    )
