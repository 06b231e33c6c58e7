"""What all tables are made with."""

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
Id = BigInteger().with_variant(Integer, "sqlite")
NAME = 255
LIVE: dict[str, Any] = {f"{dialect}_where": text("ended IS NULL") for dialect in ("sqlite", "postgresql")}
"""For an index over the rows that have not ended."""


def identifier() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def table(name: str, *parts: SchemaItem, never_reuse_ids: bool = False) -> Table:
    return Table(name, metadata, *parts, sqlite_autoincrement=never_reuse_ids)
