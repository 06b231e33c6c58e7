"""Output of the commands: data on stdout in the format that the user chose, messages on stderr."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import click
import yaml

from aizen_hub.cli.terminal_table import print_fields, print_table
from aizen_hub.validation.printable import escape_nonprintable

F = TypeVar("F", bound=Callable[..., Any])
_NAMES = ("name", "id")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a cell that begins so as a formula (T-21)."""


class Format(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Output:
    """How a command shows its data.

    Attributes
    ----------
    format : Format or None
        None: a table on a terminal, and one record per line with tabs in a pipe.
    columns : tuple of str
        The columns to show; empty: those of the command.
    headers : bool
        Whether tables, tabs and CSV begin with the names of the columns.
    """

    format: Format | None = None
    columns: tuple[str, ...] = ()
    headers: bool = True

    @property
    def is_document(self) -> bool:
        """Whether the output is one JSON or YAML document."""
        return self.format in (Format.JSON, Format.YAML)

    def show_document(self, value: Any) -> None:
        """Print a value as JSON or YAML."""
        if self.format is Format.YAML:
            click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120), nl=False)
        else:
            show_json(value)


def output_option(command: F) -> Callable[..., Any]:
    """Add ``-o``, ``--columns`` and ``--no-headers`` to a command, and pass it one `Output` as ``output``."""

    @click.option(
        "-o",
        "--output",
        type=click.Choice([str(item) for item in Format]),
        help="The format. Default: a table on a terminal; in a pipe, one record per line, separated by tabs.",
    )
    @click.option("--columns", metavar="NAME,…", help="Show these columns, in this order; `-o wide` shows all.")
    @click.option("--no-headers", is_flag=True, help="Do not print the names of the columns.")
    @functools.wraps(command)
    def with_output(*args: Any, output: str | None, columns: str | None, no_headers: bool, **kwargs: Any) -> Any:
        names = tuple(_key(name) for name in (columns or "").split(",") if name.strip())
        chosen = Output(None if output is None else Format(output), names, headers=not no_headers)
        return command(*args, output=chosen, **kwargs)

    return with_output


def show_message(message: str) -> None:
    """Print a message, which is not data, to stderr."""
    click.echo(message, err=True)


def show_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_rows(
    output: Output, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, wide: Sequence[str] = ()
) -> None:
    """Print records.

    Parameters
    ----------
    columns : sequence of str
        What a table shows unless the user chose.
    wide : sequence of str
        The columns of ``-o wide`` and CSV; default: ``columns`` and all further members of the records.

    Raises
    ------
    click.UsageError
        The user chose a column that no record has.
    """
    records = [{_key(name): value for name, value in row.items()} for row in rows]
    shown = [_key(column) for column in columns]
    every = [_key(column) for column in wide] or list(
        dict.fromkeys([*shown, *(name for record in records for name in record)])
    )
    known = {*shown, *every, *(name for record in records for name in record)}
    if output.columns:
        if unknown := [name for name in output.columns if name not in known]:
            raise click.UsageError(f"there is no column `{unknown[0]}`; the columns are {', '.join(every)}")
        shown = every = list(output.columns)
    match output.format:
        case Format.JSON | Format.YAML:
            chosen = output.columns or None
            output.show_document(
                records if chosen is None else [{name: record.get(name) for name in chosen} for record in records]
            )
        case Format.CSV:
            _print_csv(every, records, headers=output.headers)
        case Format.NAME:
            key = output.columns[0] if output.columns else next((name for name in _NAMES if name in known), shown[0])
            for record in records:
                click.echo(format_cell(record.get(key)))
        case _ if not records:
            show_message("(none)")
        case None if not sys.stdout.isatty():
            _print_lines(shown, records, headers=output.headers)
        case _:
            columns = every if output.format is Format.WIDE else shown
            cells = [[format_cell(record.get(column)) for column in columns] for record in records]
            is_fitted = output.format is not Format.WIDE and sys.stdout.isatty()
            print_table(columns if output.headers else None, cells, fit=is_fitted)


def show_result(output: Output, result: Mapping[str, Any], brief: Sequence[str] = ()) -> None:
    """Print the result of a change or a query: records, an object or a message.

    Parameters
    ----------
    brief : sequence of str
        The columns of a table that has more of them, which ``-o wide`` shows.
    """
    columns, message = result.get("columns"), result.get("message")
    data = result.get("data")
    if columns is not None:
        records = [dict(zip(columns, row, strict=True)) for row in result.get("rows") or ()]
        names = {_key(column) for column in columns}
        show_rows(output, [name for name in brief if name in names] or columns, records, wide=columns)
    elif result.get("kind") == "object" and data:
        show_object(output, data)
    elif output.is_document:
        output.show_document(result)
        return
    if message:
        show_message(str(message))
    if result.get("kind") == "message" and isinstance(data, Mapping) and data.get("pending"):
        show_message("an authorized user has to confirm this change: see `aizen-hub pending list`")


def show_object(output: Output, value: Mapping[str, Any]) -> None:
    """Print one object: its members below each other, as a document, or as one record."""
    if output.columns or output.format in (Format.CSV, Format.NAME):
        show_rows(output, list(value), [value])
    elif output.is_document:
        output.show_document(value)
    else:
        print_fields([(name.replace("_", " "), format_cell(member)) for name, member in value.items()])


def format_cell(value: Any) -> str:
    """Return a value as the text of one cell, which cannot control the terminal or begin a new line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_cell(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={format_cell(item)}" for key, item in value.items())
    return escape_nonprintable(str(value))


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _print_lines(columns: Sequence[str], records: Iterable[Mapping[str, Any]], *, headers: bool) -> None:
    if headers:
        click.echo("\t".join(column.upper() for column in columns))
    for record in records:
        # Tabs and line ends within a value are escaped by `format_cell`.
        click.echo("\t".join(format_cell(record.get(column)) for column in columns))


def _print_csv(columns: Sequence[str], records: Iterable[Mapping[str, Any]], *, headers: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if headers:
        writer.writerow(columns)
    for record in records:
        cells = [format_cell(record.get(column)) for column in columns]
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) and not _is_number(cell) else cell for cell in cells])
    click.echo(out.getvalue(), nl=False)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
