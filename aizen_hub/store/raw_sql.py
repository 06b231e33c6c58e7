"""Plain statements through the driver, for what nearly every request looks up: building a query costs more than it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection


def fetch(conn: Connection, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return all rows of a query inside the connection's present transaction.

    Parameters
    ----------
    text : str
        With ``?`` for each value, never with a value in it.

    Raises
    ------
    The driver's errors; `Store.guarded` knows them.
    """
    cursor = conn.connection.cursor()
    try:
        cursor.execute(text if conn.dialect.paramstyle == "qmark" else text.replace("?", "%s"), tuple(values))
        return list(cursor.fetchall())
    finally:
        cursor.close()


def places(values: Sequence[Any]) -> str:
    """Return ``?, ?, ?``: one place for each value."""
    return ", ".join("?" * len(values))
