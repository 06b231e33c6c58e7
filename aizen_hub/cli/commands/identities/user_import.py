"""``aizen-hub user import``: registration of the people of a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.operation_progress import LineProgress, ProgressView, TerminalProgress
from aizen_hub.cli.output import show_message, show_rows
from aizen_hub.commands.users_table import TableRow, read_users_table
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotFound, Problem

_MAX_BYTES = 4 << 20
_KEYS = {"id": "name", "username": "display_name"}
_ROW_FAULTS = (BadInput, Conflict, Denied, Escalation, NotFound)
"""Problems of one person, after which the others are registered all the same."""


@click.command("import")
@pass_sender
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
def import_users(sender: ChangeSender, file: Path) -> int:
    """Register the people of FILE: CSV whose first line names the columns, or a users file in JSON; `-` reads stdin.

    The columns are login, name, email, phone, roles and provider. Who is registered already stays as they are, so an
    import can be repeated. It lists what became of each person, with the activation links of local accounts. Exit code
    1: at least one person could not be registered.
    """
    rows = read_users_table(_read_text(file))
    registered = _registered_names(sender)
    view: ProgressView = TerminalProgress() if sys.stderr.isatty() else LineProgress()
    outcomes = []
    try:
        for number, row in enumerate(rows, 1):
            outcomes.append(_register(sender, row, registered))
            view.show("registering", number, len(rows))
    finally:
        view.close()
        show_rows(sender.output, ("id", "outcome", "detail"), outcomes)
    failed = sum(outcome["outcome"] == "failed" for outcome in outcomes)
    new = sum(outcome["outcome"] in ("registered", "would be registered") for outcome in outcomes)
    show_message(f"{new} new, {len(outcomes) - new - failed} registered already, {failed} failed")
    return ExitCode.ERROR if failed else ExitCode.DONE


def _read_text(file: Path) -> str:
    with click.open_file(str(file), "rb") as source:
        data = source.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise click.UsageError(f"the file has more than {_MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError("the file is not UTF-8: save it as `CSV UTF-8` from the spreadsheet") from None


def _registered_names(sender: ChangeSender) -> frozenset[str]:
    return frozenset(str(row[0]) for row in sender.client.get(api_path("users"))["rows"])


def _register(sender: ChangeSender, row: TableRow, registered: frozenset[str]) -> dict[str, Any]:
    if row.name.lower() in registered or row.name in registered:
        return {"id": row.name, "outcome": "exists", "detail": "registered already; unchanged"}
    body = {_KEYS.get(key, key): value for key, value in row.entry.items()}
    try:
        result = sender.send("POST", api_path("users"), body, show=False)
    except _ROW_FAULTS as problem:
        return {"id": row.name, "outcome": "failed", "detail": f"line {row.line}: {_sentence(problem)}"}
    link = result.get("activation")
    address = None if link is None else sender.client.url.removesuffix("/services/aizen") + link["link"]
    return {
        "id": row.name,
        "outcome": "would be registered" if sender.dry_run else "registered",
        "detail": address or "",
    }


def _sentence(problem: Problem) -> str:
    return "; ".join([problem.detail, *(f"{fault.pointer}: {fault.detail}" for fault in problem.faults)])
