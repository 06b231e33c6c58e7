"""How SQLite answers the statements that a piece of code executes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event


def query_plans(conn: Connection, run: Callable[[], object]) -> dict[str, list[str]]:
    """Return the plan of each query that ``run`` executes on a connection to SQLite, by its text."""
    statements: dict[str, Any] = {}

    def record(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        statements[statement] = values

    event.listen(conn, "before_cursor_execute", record)
    try:
        run()
    finally:
        event.remove(conn, "before_cursor_execute", record)
    return {
        text: [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
        for text, values in statements.items()
    }
