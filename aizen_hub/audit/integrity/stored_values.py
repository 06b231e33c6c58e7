"""Reading values as they are stored, so that one of another type is found instead of ending the verification."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Label, type_coerce
from sqlalchemy.types import NULLTYPE


def stored_columns(*columns: Column[Any]) -> tuple[Label[Any], ...]:
    """Return the columns, under their names, without the conversion of their types.

    SQLite stores a value of any type in any column. A statement that puts text where bytes belong must not make every
    later verification fail: the reader checks the types itself.
    """
    return tuple(type_coerce(column, NULLTYPE).label(column.name) for column in columns)


@contextmanager
def any_text(conn: Connection) -> Iterator[None]:
    """Let SQLite return text that is not UTF-8 with escapes, instead of raising an error for it."""
    driver = conn.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):  # PostgreSQL stores no such text
        yield
        return
    former = driver.text_factory
    driver.text_factory = _decode
    try:
        yield
    finally:
        driver.text_factory = former


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
