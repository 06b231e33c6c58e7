"""Export of the audit: JSON lines for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aizen_hub.store.audit_log.record import canonical_json
from aizen_hub.store.timestamps import from_microseconds

COLUMNS = (
    "writer", "number", "id", "at", "event", "identity", "acting", "channel", "session", "project", "source",
    "token_id", "command", "allowed", "reason", "sentence", "assignment", "role", "via", "revision", "details", "hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Return each row as one line of JSON; times stay microseconds since 1970, so that the hashes can be verified."""
    for row in rows:
        yield canonical_json(row) + "\n"


def to_csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Return a header and each row as a CSV record (RFC 4180); no cell is a spreadsheet formula (T-21)."""
    yield _csv_record(COLUMNS)
    for row in rows:
        yield _csv_record([csv_cell(row.get(name), name) for name in COLUMNS])


def csv_cell(value: Any, name: str = "") -> str:
    """Return a value as the text of one cell; text that begins like a formula is prefixed with an apostrophe."""
    if value is None:
        return ""
    if name == "at" and isinstance(value, int):
        return from_microseconds(value).isoformat()
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = value if isinstance(value, str) else canonical_json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_record(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()
