"""Data to stdout as a table or as JSON; everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aizen_hub.validation.printable import visible

PIPE_WIDTH = 500  # a table that goes into a pipe must not be folded to 80 columns

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table to read, or JSON for scripts.",
)


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def say(message: str) -> None:
    """Tell the person something that is not data."""
    click.echo(message, err=True)


def show_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_rows(output: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows; JSON carries every member of each, the table the named columns."""
    rows = list(rows)
    if output == "json":
        show_json(rows)
        return
    if not rows:
        say("nothing to list")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " ").upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console().print(table)


def show_result(output: str, result: Mapping[str, Any]) -> None:
    """Print what a change or a list answered: a table, an object or a sentence."""
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
        say(str(message))
    if result.get("kind") == "message" and isinstance(result.get("data"), Mapping) and result["data"].get("pending"):
        say("it waits for confirmation by an entitled person")


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
        return ", ".join(_cell(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(one)}" for key, one in value.items())
    # A name from a directory must not move the cursor or colour the screen of an admin.
    return visible(str(value))
