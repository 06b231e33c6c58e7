"""Results of account commands and API calls: a table, a message or an object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one change or query.

    Attributes
    ----------
    kind : {"table", "message", "object"}
    message : str
        One sentence for people; may be empty for a table.
    columns, rows : tuple
        The table; every row has one value per column.
    data : mapping
        The same for programs; ``pending`` is the id of a pending change, ``renew`` tells the client to exchange its
        token.
    revision : int or None
        The revision at which it is valid; set by the caller after the commit.
    """

    kind: Literal["table", "message", "object"]
    message: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    revision: int | None = None

    def at_revision(self, revision: int) -> Result:
        """Return the same result with its revision."""
        return replace(self, revision=revision)

    @property
    def pending_id(self) -> str | None:
        """Id of the pending change, or None if the change was made."""
        return self.data.get("pending")

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"kind": self.kind, "message": self.message, "revision": self.revision}
        if self.kind == "table":
            document["columns"] = list(self.columns)
            document["rows"] = [[to_json_value(cell) for cell in row] for row in self.rows]
        document["data"] = to_json_value(self.data)
        return document


def message_result(text: str, **data: Any) -> Result:
    return Result("message", text, data=data)


def table_result(columns: tuple[str, ...], rows: list[tuple[Any, ...]], text: str = "", **data: Any) -> Result:
    return Result("table", text, columns, tuple(rows), data)


def truncated_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], limit: int) -> Result:
    """Return a table of at most ``limit`` rows; if there are more, ``data["more"]`` is true and the message says so.

    Parameters
    ----------
    rows : list of tuple
        Fetched with a limit of ``limit + 1``.
    """
    shown, more = rows[:limit], len(rows) > limit
    return table_result(columns, shown, f"these are the first {len(shown)}; there are more" if more else "", more=more)


def to_json_value(value: Any) -> Any:
    """Return ``value`` as JSON types: times in RFC 3339, sets as sorted lists, identities and other objects as text."""
    if value is None or isinstance(value, (bool, int, float)) or type(value) is str:
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(to_json_value(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [to_json_value(item) for item in value]
    return str(value)
