"""Output of the commands: data on stdout as a table or as JSON, messages on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aizen_hub.validation.printable import escape_nonprintable

PIPE_WIDTH = 500  # a table in a pipe must not be folded to 80 columns

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Print a table, or JSON for scripts.",
)


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def show_message(message: str) -> None:
    """Print a message, which is not data, to stderr."""
    click.echo(message, err=True)


def show_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_rows(output: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows: all their members as JSON, or the given columns as a table."""
    rows = list(rows)
    if output == "json":
        show_json(rows)
        return
    if not rows:
        show_message("(none)")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " ").upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console().print(table)


def show_result(output: str, result: Mapping[str, Any]) -> None:
    """Print the result of a change or a query: a table, an object or a message."""
    if output == "json":
        show_json(result)
        return
    columns = result.get("columns")
    if columns:
        show_rows(output, columns, [dict(zip(columns, row, strict=True)) for row in result.get("rows") or ()])
    elif result.get("kind") == "object" and result.get("data"):
        show_object(output, result["data"])
    message = result.get("message")
    if message:
        show_message(str(message))
    if result.get("kind") == "message" and isinstance(result.get("data"), Mapping) and result["data"].get("pending"):
        show_message("an authorized user has to confirm this change")


def show_object(output: str, value: Mapping[str, Any]) -> None:
    if output == "json":
        show_json(value)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, member in value.items():
        table.add_row(key.replace("_", " "), Text(_cell(member)))
    console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    # A name from a directory must not control the terminal.
    return escape_nonprintable(str(value))
