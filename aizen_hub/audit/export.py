"""The audit as a file: JSON lines for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aizen_hub.store.audit_log.record import canonical
from aizen_hub.store.timestamps import from_microseconds

COLUMNS = (
    "writer", "number", "id", "at", "event", "identity", "acting", "road", "session", "project", "source", "token_id",
    "command", "allowed", "reason", "sentence", "assignment", "role", "via", "revision", "details", "hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Return each row as one line of JSON; times stay microseconds since 1970, so that bodies hash as they were."""
    for row in rows:
        yield canonical(row) + "\n"


def csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Return a header and each row as a CSV record (RFC 4180), no cell of which a spreadsheet computes (T-21)."""
    yield _record(COLUMNS)
    for row in rows:
        yield _record([cell(row.get(name), name) for name in COLUMNS])


def cell(value: Any, name: str = "") -> str:
    """Return a value as the text of one cell; text that begins like a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if name == "at" and isinstance(value, int):
        return from_microseconds(value).isoformat()
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = value if isinstance(value, str) else canonical(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _record(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()
