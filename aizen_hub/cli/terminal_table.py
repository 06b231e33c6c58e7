"""Tables for a terminal: aligned columns, local times, short ids, and no name that is broken over two lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ID = re.compile(r"[0-9a-f]{32,64}")
_SHORT_ID = 8
_GAP = 1
_LONGEST_NAME = 32
_MAX_WIDTH, _PIPE_WIDTH = 100_000, 500


def print_table(headers: Sequence[str] | None, rows: Sequence[Sequence[str]], *, fit: bool) -> None:
    """Print rows of cells.

    Parameters
    ----------
    headers : sequence of str or None
        The names of the columns; None: no line of headers.
    fit : bool
        Whether cells are wrapped at spaces to the width of the terminal, times are local and ids are shortened.
    """
    if fit:
        rows = _shorten_ids([[_to_local_time(cell) for cell in row] for row in rows])
    table = Table(box=None, pad_edge=False, show_header=headers is not None, header_style="bold", padding=(0, _GAP))
    width = 0
    for index, _ in enumerate(rows[0]):
        header = "" if headers is None else headers[index].replace("_", " ").upper()
        cells = [row[index] for row in rows]
        least = max(map(cell_len, [header, *(part for cell in cells for part in _unbroken_parts(cell, fit=fit))]))
        is_sentence = fit and any(cell_len(cell) > _LONGEST_NAME for cell in cells)
        table.add_column(header, overflow="fold", no_wrap=not is_sentence, min_width=least)
        width += least + 2 * _GAP
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _console(width if not fit else max(width, _terminal_width())).print(table, soft_wrap=False)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values below each other."""
    if not fields:
        return
    if not sys.stdout.isatty():
        for name, value in fields:
            click.echo(f"{name}\t{value}")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True, min_width=max(cell_len(name) for name, _ in fields))
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(Text(name), Text(_to_local_time(value)))
    create_console().print(table)


def create_console() -> Console:
    """Return a console as wide as the terminal; what is in a pipe is not folded."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def _console(width: int) -> Console:
    return Console(width=min(width, _MAX_WIDTH), highlight=False)


def _unbroken_parts(cell: str, *, fit: bool) -> list[str]:
    """Return what must stay on one line: a short text such as a name, and each word of a sentence."""
    return cell.split(" ") if fit and cell_len(cell) > _LONGEST_NAME else [cell]


def _terminal_width() -> int:
    return Console().width


def _to_local_time(cell: str) -> str:
    if not _TIME.fullmatch(cell):
        return cell
    return datetime.fromisoformat(cell).astimezone().strftime("%Y-%m-%d %H:%M")


def _shorten_ids(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Shorten long ids to what tells them apart within the table."""
    ids = {cell for row in rows for cell in row if _ID.fullmatch(cell)}
    length = _SHORT_ID
    while len({item[:length] for item in ids}) < len(ids):
        length += 1
    return [[cell[:length] if cell in ids else cell for cell in row] for row in rows]
