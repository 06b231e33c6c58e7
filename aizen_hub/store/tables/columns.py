"""Column types, naming convention and helpers that every table is built with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, text
from sqlalchemy.schema import SchemaItem

_CONSTRAINTS = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=_CONSTRAINTS)
IdType = BigInteger().with_variant(Integer, "sqlite")
NAME_LENGTH = 255
"""Characters of a name."""
IDENTITY_LENGTH = NAME_LENGTH + 20
"""Characters of an identity, written as ``kind:name``."""
WHERE_NOT_ENDED: dict[str, Any] = {f"{dialect}_where": text("ended IS NULL") for dialect in ("sqlite", "postgresql")}
"""Arguments of an index over the rows that have not ended."""


def where_set(column: str) -> dict[str, Any]:
    """Return the arguments of an index over the rows in which ``column`` has a value."""
    return {f"{dialect}_where": text(f"{column} IS NOT NULL") for dialect in ("sqlite", "postgresql")}


def id_column() -> Column[int]:
    """Return the primary key column ``id``, numbered by the database."""
    return Column("id", IdType, primary_key=True, autoincrement=True)


def make_table(name: str, *parts: SchemaItem, never_reuse_ids: bool = False) -> Table:
    """Return a table of the schema.

    Parameters
    ----------
    never_reuse_ids : bool
        Whether the id of a deleted row must never come back (T-47). PostgreSQL never reuses one; SQLite must be told.
    """
    return Table(name, metadata, *parts, sqlite_autoincrement=never_reuse_ids)
