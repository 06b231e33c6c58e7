"""How a change records which rows it wrote, so that the tables can be compared with the changes (T-38).

A change record names each row that the change wrote, with the values that were written and no others: a value that
somebody slipped into the same row meanwhile is not taken up by the next honest change of it. What is secret, or would
outlive the erasure of a person, is recorded as a hash that is bound to its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Table

from aizen_hub.store.audit_log.covered_tables import Compared, compared
from aizen_hub.store.audit_log.record import canonical
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.tokens.keys import encode

ROWS = "rows"
"""The member of a change that holds them, as a list of `Mark`."""


class Did(StrEnum):
    """What a change did to a row, or to all rows of one owner."""

    PUT = "put"
    ALTER = "alter"
    DROP = "drop"
    DROP_ALL = "drop-all"


class Mark(NamedTuple):
    """What a change did, as its record holds it; the values are by column."""

    did: Did
    table: str
    owner: str
    part: str = ""
    values: Mapping[str, Any] | None = None


def put(table: Table, owner: object, values: Mapping[str, Any], *part: object) -> Mark:
    """Record that a row was made, or written without asking whether it is there; what is left out stays or is empty.

    Parameters
    ----------
    owner : str, int or tuple
        The values of the columns that name whose it is.
    values : mapping
        By column, as they were written; what is not compared is passed over.
    *part
        The values of the columns that say which of several.
    """
    return _mark(Did.PUT, table, owner, part, values)


def altered(table: Table, owner: object, values: Mapping[str, Any], *part: object) -> Mark:
    """Record that columns of a row were written that must be there; what no change made is not made by this."""
    return _mark(Did.ALTER, table, owner, part, values)


def gone(table: Table, owner: object, *part: object) -> Mark:
    """Record that a row is gone; without a part, where there may be several, that all of the owner are."""
    whole = bool(compared(table.name).part) and not part
    return Mark(Did.DROP_ALL, table.name, _whose(owner)) if whole else _mark(Did.DROP, table, owner, part, None)


def rows(*marks: Mark) -> dict[str, list[Mark]]:
    """Return what a change adds to its payload, in the order in which it was done."""
    return {ROWS: list(marks)}


def _mark(did: Did, table: Table, owner: object, part: Iterable[object], values: Mapping[str, Any] | None) -> Mark:
    spec, whose = compared(table.name), _whose(owner)
    kept = None
    if values is not None:
        kept = {one.name: plain(spec, whose, one.name, values[one.name]) for one in spec.values if one.name in values}
    return Mark(did, table.name, whose, part_of(spec, whose, part), kept)


def _whose(owner: object) -> str:
    return joined(owner if isinstance(owner, tuple) else (owner,))


def joined(parts: Iterable[object]) -> str:
    """Return the name that values of columns make up."""
    return ":".join("" if one is None else str(one) for one in parts)


def part_of(spec: Compared, owner: str, part: Iterable[object]) -> str:
    """Return which of several rows it is."""
    if not spec.hashed:
        return joined(part)
    named = zip(spec.part, part, strict=True)
    return joined(plain(spec, owner, column.name, one) for column, one in named)


def plain(spec: Compared, owner: str, column: str, value: Any) -> Any:
    """Return a value as a record holds it: JSON, None for whatever is empty, a hash where the table says so."""
    if not value:
        return None
    if column in spec.hashed:
        kept = encode(value) if isinstance(value, bytes) else value
        return hashlib.sha256(canonical([spec.what, owner, column, kept]).encode()).hexdigest()
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, bytes):
        return encode(value)
    if isinstance(value, Mapping):
        return {str(name): one for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return sorted(map(str, value))
    return value if isinstance(value, bool | int | float) else str(value)
