"""Tables as text and as HTML: values in the units and the time of the reader."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from aizen_hub.notebook.display.text import FAINT, FONT, escape_html, escape_unprintable

MAX_ROWS = 200
_MAX_CELL = 300
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
CELL = "border-bottom:1px solid var(--jp-border-color2);padding:2px 10px 2px 0;text-align:left;vertical-align:top"
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_percent(value: float) -> str:
    return f"{value:.0%}" if 0 <= value <= 1 else f"{value:g}"


def format_size(value: float) -> str:
    """Return a number of bytes in the largest unit that keeps it at least 1."""
    power = 0
    while abs(value) >= 1024 and power < len(_SIZES) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.4g} {_SIZES[power]}"


_UNITS: Mapping[str, Callable[[float], str]] = {
    "fraction": format_percent,
    "progress": format_percent,
    "memory": format_size,
    "size": format_size,
    "bytes": format_size,
}
"""The unit of the numbers of a column or key, by its name."""


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as text, at most as wide as the terminal."""
    cells = [_format_row(columns, row) for row in rows[:MAX_ROWS]]
    header = [escape_unprintable(column) for column in columns]
    widths = [max([len(header[at]), *(len(row[at]) for row in cells if at < len(row))]) for at in range(len(header))]
    available = max(40, shutil.get_terminal_size((160, 24)).columns) - 2 * len(header)
    while sum(widths) > available and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1

    def line(values: Sequence[str]) -> str:
        clipped = (
            value if len(value) <= width else value[: width - 1] + "…"
            for value, width in zip(values, widths, strict=False)
        )
        return "  ".join(value.ljust(width) for value, width in zip(clipped, widths, strict=False)).rstrip()

    out = [line(header), line(["-" * width for width in widths]), *map(line, cells)]
    return "\n".join(out + _overflow_lines(rows))


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as HTML in the colours of the front end; every value is escaped."""
    header = "".join(f'<th style="{CELL}">{escape_html(column)}</th>' for column in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{CELL}">{escape_html(value)}</td>' for value in _format_row(columns, row))
        + "</tr>"
        for row in rows[:MAX_ROWS]
    )
    overflow = "".join(f'<div style="{FAINT}">{escape_html(line)}</div>' for line in _overflow_lines(rows))
    style = f"{FONT};border-collapse:collapse"
    return f'<table style="{style}"><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{overflow}'


def object_tables(data: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[Any]]]]:
    """Return an object as tables: one of its simple values, and one for each list of objects.

    Returns
    -------
    list of (heading, columns, rows)
        The heading is empty for the simple values.
    """
    tables: list[tuple[str, tuple[str, ...], list[list[Any]]]] = []
    simple: list[list[Any]] = []
    for name, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            columns = tuple(dict.fromkeys(str(key) for item in value for key in item))
            tables.append((str(name), columns, [[item.get(column) for column in columns] for item in value]))
        elif isinstance(value, Mapping) and value:
            tables.append(
                (str(name), ("name", "value"), [[key, _in_unit(str(key), item)] for key, item in value.items()])
            )
        else:
            simple.append([name, _in_unit(str(name), value)])
    return ([("", ("name", "value"), simple)] if simple else []) + tables


def format_cell(value: Any, name: str = "") -> str:
    """Return one value as one printable line; `CommandResult.rows` has the original value.

    Parameters
    ----------
    name : str
        Of the column or key, which tells the unit of a number.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return escape_unprintable(", ".join(format_cell(item) for item in value))[:_MAX_CELL]
    if isinstance(value, Mapping):
        items = (f"{key}: {format_cell(item, str(key))}" for key, item in value.items())
        return escape_unprintable(", ".join(items))[:_MAX_CELL]
    if isinstance(value, int | float):
        return str(_in_unit(name, value))[:_MAX_CELL]
    text = str(value)[:_MAX_CELL]
    return (_local_time(text) if _TIMESTAMP.fullmatch(text) else None) or escape_unprintable(text)[:_MAX_CELL]


def _in_unit(name: str, value: Any) -> Any:
    unit = _UNITS.get(name.lower())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return unit(value) if unit is not None and is_number else value


def _format_row(columns: Sequence[str], row: Sequence[Any]) -> list[str]:
    values = dict(zip(columns, row, strict=False))
    # In a table of limits the unit of each value is that of its limit.
    names = [str(values["limit"]) if column == "value" and "limit" in values else column for column in columns]
    named = [*names, *[""] * max(0, len(row) - len(names))]
    return [format_cell(value, name) for value, name in zip(row, named, strict=False)]


def _local_time(text: str) -> str | None:
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    except (ValueError, OverflowError, OSError):
        return None


def _overflow_lines(rows: Sequence[Any]) -> list[str]:
    if not rows:
        return ["(no rows)"]
    return [f"… and {len(rows) - MAX_ROWS} more rows (all are in `.rows`)"] if len(rows) > MAX_ROWS else []
