"""Tables of people to register: a users file in JSON, or CSV with a header, as spreadsheets write it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aizen_hub.commands.lexer import ascii_excerpt
from aizen_hub.problems import BadInput, Fault
from aizen_hub.validation import strict_json

MAX_ROWS = 5_000
_MAX_KEYS = MAX_ROWS * 12
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "login", "user", "username", "uid"),
    "username": ("name", "full name", "display name", "displayname", "cn"),
    "email": ("email", "e-mail", "mail"),
    "phone": ("phone", "telephone"),
    "roles": ("roles", "role"),
    "provider": ("provider", "source"),
}
"""The names under which a header may have each key of the users file; the case does not matter."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One person of a table: an entry of the users file, not yet checked.

    Attributes
    ----------
    line : int
        Where it begins in a CSV table; in JSON its position, from 1.
    """

    line: int
    entry: Mapping[str, Any]

    @property
    def name(self) -> str:
        name = self.entry.get("id")
        return name if isinstance(name, str) else ""


def read_users_table(text: str) -> tuple[TableRow, ...]:
    """Read a table of people.

    Several roles of one person are separated by spaces or semicolons in CSV.

    Raises
    ------
    BadInput
        It is neither; a column is unknown, repeated or missing; a line has too many fields; there are no rows, or more
        than `MAX_ROWS`.
    """
    text = text.lstrip("\ufeff").strip()
    if not text:
        raise BadInput("the file is empty", remedy="choose a file, or paste its text")
    rows = _read_json(text) if text.startswith("[") else _read_csv(text)
    if not rows:
        raise BadInput("the file has a header and no people")
    if len(rows) > MAX_ROWS:
        raise BadInput(f"the file has {len(rows)} people", remedy=f"split it: {MAX_ROWS} at most are read at a time")
    return rows


def to_users_file(rows: Sequence[TableRow]) -> str:
    """Return the rows as the text of a users file."""
    return json.dumps([dict(row.entry) for row in rows])


def _read_json(text: str) -> tuple[TableRow, ...]:
    document = strict_json.loads(text, max_bytes=4 << 20, max_keys=_MAX_KEYS)
    assert isinstance(document, list), "the text begins with a bracket"
    for index, entry in enumerate(document):
        if not isinstance(entry, dict):
            raise BadInput(f"entry {index + 1} is not an object", faults=[Fault(f"/{index}", "this must be an object")])
    return tuple(TableRow(index + 1, entry) for index, entry in enumerate(document))


def _read_csv(text: str) -> tuple[TableRow, ...]:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[TableRow] = []
    keys: list[str] | None = None
    try:
        line = 1
        for fields in reader:
            if keys is None:
                keys = _read_header(fields)
            elif any(field.strip() for field in fields):
                rows.append(TableRow(line, _read_fields(line, keys, fields)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num} cannot be read: {error}") from None
    return tuple(rows)


def _read_header(fields: Sequence[str]) -> list[str]:
    keys = []
    for field in fields:
        name = field.strip().casefold()
        key = next((key for key, names in _COLUMNS.items() if name in names), None)
        if key is None:
            raise BadInput(
                f"the column `{ascii_excerpt(field.strip())}` is unknown",
                remedy="the first line names the columns: login, name, email, phone, roles, provider",
            )
        if key in keys:
            raise BadInput(f"two columns hold the same: `{ascii_excerpt(field.strip())}`")
        keys.append(key)
    if "id" not in keys:
        raise BadInput("no column holds the logins", remedy="name it `login` in the first line")
    return keys


def _read_fields(line: int, keys: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    if len(fields) > len(keys):
        raise BadInput(f"line {line} has {len(fields)} fields, and the header {len(keys)}")
    entry: dict[str, Any] = {}
    for key, field in zip(keys, fields, strict=False):
        value = field.strip()
        if key == "roles":
            entry["roles"] = list(dict.fromkeys(value.replace(";", " ").split()))
        elif value or key == "id":
            entry[key] = value
    if not entry.get("roles"):
        entry.pop("roles", None)
    return entry
