"""What looks for live sessions and running jobs does not read those that ended: they are kept for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import event, func, insert, select, text

from aizen_hub.accounts.sessions import heartbeat
from aizen_hub.store import tables
from aizen_hub.store.store import Store
from tests.accounts.harness import HUB

_ENDED = 3_000


def _session(number: int, now: Any, ended: bool) -> dict[str, Any]:
    return {
        "id": f"{number:032}",
        "user": f"user{number % 50}",
        "server": str(number),
        "project": "p1",
        "credential": f"{number:064}",
        "started": now - timedelta(minutes=number),
        "heard": now,
        "ended": now if ended else None,
    }


def _job(number: int, now: Any, ended: bool) -> dict[str, Any]:
    return {
        "decision_id": f"{number:032}",
        "user": f"user{number % 50}",
        "project": f"p{number % 3}",
        "command": "start training x",
        "key": "training x",
        "started": now - timedelta(minutes=number),
        "ended": now if ended else None,
    }


def test_the_live_ones_are_found_by_an_index_of_their_own(store: Store) -> None:
    s, j = tables.sessions, tables.jobs
    with store.write(HUB) as tx:
        tx.conn.execute(insert(s), [_session(number, tx.now, number >= 5) for number in range(_ENDED)])
        tx.conn.execute(insert(j), [_job(number, tx.now, number >= 5) for number in range(_ENDED)])
        tx.change("session", {}, ["*"])
    with store.database.engine.connect() as conn:
        conn.execute(text("ANALYZE"))
        conn.commit()
    asked: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT") and "ended IS NULL" in statement:
            asked.append((statement, parameters))

    event.listen(store.database.engine, "before_cursor_execute", note)
    with store.write(HUB) as tx:
        heartbeat.take(tx, [(f"user{number}", str(number)) for number in range(5)])
        assert tx.conn.scalar(select(func.count()).select_from(s).where(s.c.ended.is_(None))) == 5
        assert tx.conn.scalar(select(func.count()).select_from(j).where(j.c.ended.is_(None))) == 5
        tx.conn.execute(select(s).where(s.c.ended.is_(None)).order_by(s.c.started.desc()).limit(1_001)).all()
    event.remove(store.database.engine, "before_cursor_execute", note)
    assert len(asked) >= 4
    with store.database.engine.connect() as conn:
        how = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
        for statement, parameters in asked:
            plan = " ".join(str(row) for row in conn.exec_driver_sql(how + statement, parameters))
            assert "ix_sessions_live" in plan or "ix_jobs_live" in plan, f"{statement}: {plan}"
