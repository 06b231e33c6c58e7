"""Raw SQL through the driver, for the hot path, where building a query with SQLAlchemy costs more than running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection


def fetch_raw(conn: Connection, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return all rows of a query in the current transaction of the connection.

    Parameters
    ----------
    text : str
        SQL with ``?`` for each value; it never contains a value itself.

    Raises
    ------
    The driver's errors, which `Store.translate_db_errors` translates.
    """
    cursor = conn.connection.cursor()
    try:
        cursor.execute(text if conn.dialect.paramstyle == "qmark" else text.replace("?", "%s"), tuple(values))
        return list(cursor.fetchall())
    finally:
        cursor.close()


def placeholders(values: Sequence[Any]) -> str:
    """Return ``?, ?, ?``: one placeholder for each value."""
    return ", ".join("?" * len(values))
