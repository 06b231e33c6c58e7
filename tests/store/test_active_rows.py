"""Queries for active sessions and running jobs do not read the ended ones, which are never deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import event, func, insert, select, text

from aizen_hub.accounts.sessions import heartbeat
from aizen_hub.store import tables
from aizen_hub.store.sql_store import Store
from tests.accounts.harness import HUB

_ENDED = 3_000


def _session_row(number: int, now: Any, ended: bool) -> dict[str, Any]:
    return {
        "id": f"{number:032}",
        "user": f"user{number % 50}",
        "hub": "main",
        "server": str(number),
        "project": "p1",
        "credential": f"{number:064}",
        "started": now - timedelta(minutes=number),
        "last_seen": now,
        "ended": now if ended else None,
    }


def _job_row(number: int, now: Any, ended: bool) -> dict[str, Any]:
    return {
        "decision_id": f"{number:032}",
        "user": f"user{number % 50}",
        "project": f"p{number % 3}",
        "command": "start training x",
        "key": "training x",
        "started": now - timedelta(minutes=number),
        "ended": now if ended else None,
    }


def test_active_rows_are_found_through_partial_indexes(store: Store) -> None:
    s, j = tables.sessions, tables.jobs
    with store.write(HUB) as tx:
        tx.conn.execute(insert(s), [_session_row(number, tx.now, number >= 5) for number in range(_ENDED)])
        tx.conn.execute(insert(j), [_job_row(number, tx.now, number >= 5) for number in range(_ENDED)])
        tx.record_change("session", {}, ["*"])
    with store.database.engine.connect() as conn:
        conn.execute(text("ANALYZE"))
        conn.commit()
    queries: list[tuple[str, Any]] = []

    def collect(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT") and "ended IS NULL" in statement:
            queries.append((statement, parameters))

    event.listen(store.database.engine, "before_cursor_execute", collect)
    with store.write(HUB) as tx:
        heartbeat.process_heartbeat(tx, [(f"user{number}", str(number)) for number in range(5)])
        assert tx.conn.scalar(select(func.count()).select_from(s).where(s.c.ended.is_(None))) == 5
        assert tx.conn.scalar(select(func.count()).select_from(j).where(j.c.ended.is_(None))) == 5
        tx.conn.execute(select(s).where(s.c.ended.is_(None)).order_by(s.c.started.desc()).limit(1_001)).all()
    event.remove(store.database.engine, "before_cursor_execute", collect)
    assert len(queries) >= 4
    with store.database.engine.connect() as conn:
        explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
        for statement, parameters in queries:
            plan = " ".join(str(row) for row in conn.exec_driver_sql(explain + statement, parameters))
            assert "ix_sessions_active" in plan or "ix_jobs_active" in plan, f"{statement}: {plan}"
