"""The rows that a change wrote, as its change record holds them, so that the tables can be compared with it (T-38).

A change record lists each row that the change wrote with exactly the values written. A value that an attacker puts into
the same row is therefore not adopted by the next regular change of it. A value that is secret, or that must not survive
the erasure of a user, is recorded as a hash that covers the table, the owner and the column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Table

from aizen_hub.store.audit_log.covered_tables import CoveredTable, covered_table
from aizen_hub.store.audit_log.record import canonical_json
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.tokens.keys import base64url_encode

ROWS = "rows"
"""The key of a change's payload that holds them, as a list of `RowChange`."""


class RowOperation(StrEnum):
    """The operation of a change on a row, or on all rows of one owner."""

    WRITE = "write"
    UPDATE = "update"
    DELETE = "delete"
    DELETE_ALL = "delete-all"


class RowChange(NamedTuple):
    """One row that a change wrote.

    Attributes
    ----------
    operation : RowOperation
    table : str
    owner : str
        Key of the owner: the columns `CoveredTable.owner`.
    part : str
        Key of the row among those of the owner: the columns `CoveredTable.part`.
    values : mapping or None
        By column.
    """

    operation: RowOperation
    table: str
    owner: str
    part: str = ""
    values: Mapping[str, Any] | None = None


def row_written(table: Table, owner: object, values: Mapping[str, Any], *part: object) -> RowChange:
    """Record that a row was inserted or replaced; columns left out keep their former value, or are empty.

    Parameters
    ----------
    owner : str, int or tuple
        The values of the columns that identify the owner.
    values : mapping
        By column, as written; columns that are not compared are ignored.
    *part
        The values of the columns that identify the row among those of the owner.
    """
    return _row_change(RowOperation.WRITE, table, owner, part, values)


def row_updated(table: Table, owner: object, values: Mapping[str, Any], *part: object) -> RowChange:
    """Record that columns of an existing row were updated. If no change inserted the row, this does not insert it."""
    return _row_change(RowOperation.UPDATE, table, owner, part, values)


def row_deleted(table: Table, owner: object, *part: object) -> RowChange:
    """Record that a row was deleted; without a part, where an owner may have several rows, that all of them were."""
    if covered_table(table.name).part and not part:
        return RowChange(RowOperation.DELETE_ALL, table.name, _owner_key(owner))
    return _row_change(RowOperation.DELETE, table, owner, part, None)


def change_payload(*changes: RowChange) -> dict[str, list[RowChange]]:
    """Return the part of a change's payload that lists the rows it wrote, in order."""
    return {ROWS: list(changes)}


def change_hash(revision: int, payload: Any, invalidates: Any) -> str:
    """Return the hash of a change record, which an audit record of the same transaction holds (T-38)."""
    return hashlib.sha256(canonical_json([revision, payload, invalidates]).encode()).hexdigest()


def _row_change(
    operation: RowOperation, table: Table, owner: object, part: Iterable[object], values: Mapping[str, Any] | None
) -> RowChange:
    spec, owner_key = covered_table(table.name), _owner_key(owner)
    recorded = None
    if values is not None:
        names = [column.name for column in spec.values if column.name in values]
        recorded = {name: recorded_value(spec, owner_key, name, values[name]) for name in names}
    return RowChange(operation, table.name, owner_key, row_key(spec, owner_key, part), recorded)


def _owner_key(owner: object) -> str:
    return join_key(owner if isinstance(owner, tuple) else (owner,))


def join_key(parts: Iterable[object]) -> str:
    """Return the key that column values form."""
    return ":".join("" if part is None else str(part) for part in parts)


def row_key(spec: CoveredTable, owner: str, part: Iterable[object]) -> str:
    """Return the key of a row among those of its owner."""
    if not spec.hashed:
        return join_key(part)
    columns = zip(spec.part, part, strict=True)
    return join_key(recorded_value(spec, owner, column.name, value) for column, value in columns)


def recorded_value(spec: CoveredTable, owner: str, column: str, value: Any) -> Any:
    """Return a value as a change record holds it: JSON, None if it is empty, a hash for a hashed column."""
    if not value:
        return None
    if column in spec.hashed:
        content = base64url_encode(value) if isinstance(value, bytes) else value
        return hashlib.sha256(canonical_json([spec.kind, owner, column, content]).encode()).hexdigest()
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, bytes):
        return base64url_encode(value)
    if isinstance(value, Mapping):
        return {str(name): member for name, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return sorted(map(str, value))
    return value if isinstance(value, bool | int | float) else str(value)
