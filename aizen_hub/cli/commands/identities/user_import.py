"""``aizen-hub user import``: registration of the people of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.change_sender import ChangeSender, pass_sender
from aizen_hub.cli.connection import api_path
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.operation_progress import follow_operation
from aizen_hub.cli.options import DRY_RUN_HEADERS
from aizen_hub.cli.output import show_message, show_rows

_MAX_BYTES = 1 << 20
_IMPORTS = api_path("user-imports")
_OUTCOMES: Mapping[str, str] = {"new": "registered", "registered": "exists", "faulty": "failed"}


@click.command("import")
@pass_sender
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--mail", is_flag=True, help="Send each new local account that has an address its activation link.")
def import_users(sender: ChangeSender, file: Path, mail: bool) -> int:
    """Register the people of FILE: CSV whose first line names the columns, or a users file in JSON; `-` reads stdin.

    The columns are login, name, email, phone, roles and provider. Who is registered already stays as they are, so an
    import can be repeated. The service registers the people in batches, each completely or not at all; Ctrl-C ends the
    import after the present one. Exit code 1: at least one person could not be registered.
    """
    body = {"table": _read_text(file), "mail_links": mail}
    plan = sender.client.request("POST", _IMPORTS, body, DRY_RUN_HEADERS)
    counts = plan["data"]
    if counts["new"] and not sender.dry_run:
        result = follow_operation(sender.client, sender.client.post(_IMPORTS, body))
        _report(result)
    words = {**_OUTCOMES, "new": "would be registered"} if sender.dry_run else _OUTCOMES
    rows = [{"id": name, "outcome": words[state], "detail": detail} for name, state, detail in plan["rows"]]
    show_rows(sender.output, ("id", "outcome", "detail"), rows)
    show_message(f"{counts['new']} new, {counts['registered']} registered already, {counts['faulty']} failed")
    if counts["local"] and not mail:
        show_message("a local account needs an activation link: `aizen-hub user activation-link NAME` prints one")
    return ExitCode.ERROR if counts["faulty"] else ExitCode.DONE


def _report(result: Mapping[str, Any]) -> None:
    if result["left_out"]:
        show_message(f"{result['left_out']} of them were registered by others meanwhile")
    if result["unsent_count"]:
        names = ", ".join(result["unsent"])
        show_message(f"the mail server did not take the links of {names}: `aizen-hub user activation-link NAME --mail`")


def _read_text(file: Path) -> str:
    with click.open_file(str(file), "rb") as source:
        data = source.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise click.UsageError(f"the file has more than {_MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError("the file is not UTF-8: save it as `CSV UTF-8` from the spreadsheet") from None
