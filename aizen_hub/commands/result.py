"""What an account command or an API call answers: a table, a message or an object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Result:
    """The answer of one change or question.

    Attributes
    ----------
    kind : {"table", "message", "object"}
    message : str
        One sentence for a person; a table may leave it empty.
    columns, rows : tuple
        The table; every row has one value per column.
    data : mapping
        The same for programs; ``pending`` holds the id of a change that waits for confirmation, ``renew`` tells
        the client to exchange its token.
    revision : int or None
        The revision at which it holds, set by the caller after the commit.
    """

    kind: Literal["table", "message", "object"]
    message: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    revision: int | None = None

    def at(self, revision: int) -> Result:
        """Return the same answer with its revision."""
        return replace(self, revision=revision)

    @property
    def pending(self) -> str | None:
        """Id of the change that waits for confirmation, or None if it was made."""
        return self.data.get("pending")

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kind": self.kind, "message": self.message, "revision": self.revision}
        if self.kind == "table":
            out["columns"] = list(self.columns)
            out["rows"] = [[plain(cell) for cell in row] for row in self.rows]
        out["data"] = plain(self.data)
        return out


def message(text: str, **data: Any) -> Result:
    return Result("message", text, data=data)


def table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], text: str = "", **data: Any) -> Result:
    return Result("table", text, columns, tuple(rows), data)


def first(columns: tuple[str, ...], rows: list[tuple[Any, ...]], most: int) -> Result:
    """Return a table of at most ``most`` of these rows; where there are more, ``data["more"]`` is true and it says so.

    Parameters
    ----------
    rows : list of tuple
        Asked for with one more than ``most``.
    """
    shown, more = rows[:most], len(rows) > most
    return table(columns, shown, f"these are the first {len(shown)} of more" if more else "", more=more)


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can carry it: times as RFC 3339, sets sorted, identities and the like as text."""
    if value is None or isinstance(value, (bool, int, float)) or type(value) is str:
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)
