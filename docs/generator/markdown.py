"""Markdown from values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Written by `make reference` from the code: change the code, not this page. -->\n"


def escape_cell(text: str) -> str:
    """Return text for one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def format_code(value: object) -> str:
    """Return a value as inline code; nothing for an empty one."""
    text = str(value)
    return f"`{escape_cell(text)}`" if text else ""


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing where there is no row."""
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *lines]) + "\n"
