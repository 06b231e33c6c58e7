"""``aizen-hub audit tail``: the newest rows of the audit, and with ``-f`` each further one as it is written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import click

from aizen_hub.cli.commands.audit_rows import COLUMNS, audit_query, audit_record
from aizen_hub.cli.connection import pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import Format, Output, format_cell, output_option, show_message, show_rows
from aizen_hub.client.errors import InvalidResponse
from aizen_hub.client.sync_client import SyncClient, parse_json
from aizen_hub.problems import Unavailable

_PAGE = 1000
_OVERLAP = timedelta(seconds=10)
"""A row is visible once it is committed, which is later than its time."""
_OWN_EVENT = "audit.read"


@click.command()
@pass_client
@click.option("-f", "--follow", is_flag=True, help="Go on with each further row, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0, _PAGE), default=10, show_default=True, help="Rows to begin with.")
@click.option("--identity", help="Only rows of this identity: user:NAME, group:NAME or service-account:NAME.")
@click.option("--target", help="Only rows of what was done to this identity: user:NAME, group:NAME, …")
@click.option("--project", help="Only rows of this project.")
@click.option("--event", help="Only this event, for example decision or role.granted.")
@click.option(
    "--interval", type=click.FloatRange(0.5, 3600), default=2.0, show_default=True, help="Seconds between two looks."
)
@output_option
def tail(client: SyncClient, follow: bool, lines: int, interval: float, output: Output, **filters: Any) -> int:
    """Show the newest rows, the oldest of them first.

    Each look is recorded in the audit as `audit.read`; these rows are shown only with --event audit.read.
    """
    if output.format not in (None, Format.TABLE, Format.WIDE, Format.JSON):
        raise click.UsageError("-o must be table, wide or json here: JSON is one object per line")
    seen: dict[str, int] = {}
    rows, since = _read(client, filters, limit=max(lines * 3, 1))
    _show(output, [row for row in rows if _is_shown(row, filters)][-lines:] if lines else [], seen)
    _remember(rows, seen)
    if not lines:
        rows, since = _read(client, filters, limit=_PAGE, since=since)
        _remember(rows, seen)
    while follow:
        time.sleep(interval)
        try:
            rows, next_since = _read(client, filters, limit=_PAGE, since=since)
        except Unavailable as problem:
            show_message(f"{problem.detail}; trying again")
            continue
        if len(rows) == _PAGE:
            show_message(f"more than {_PAGE} rows were written meanwhile; see `aizen-hub audit show`")
        _show(output, [row for row in rows if str(row["id"]) not in seen and _is_shown(row, filters)], seen)
        _remember(rows, seen)
        since = next_since
    return ExitCode.DONE


def _read(
    client: SyncClient, filters: Mapping[str, Any], *, limit: int, **more: Any
) -> tuple[list[dict[str, Any]], datetime]:
    """Return rows, the oldest first, and since when the next look has to search, by the clock of the service."""
    asked = time.monotonic()
    path = audit_query(limit=min(limit, _PAGE), **filters, **more)
    _, headers, body = client.request_with_headers("GET", path)
    if "date" not in headers:
        raise InvalidResponse("the response has no date, by which further rows could be found")
    took = timedelta(seconds=time.monotonic() - asked)
    return list(reversed(parse_json(body)["data"]["audit"])), parsedate_to_datetime(headers["date"]) - took - _OVERLAP


def _is_shown(row: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    return row["event"] != _OWN_EVENT or filters["event"] == _OWN_EVENT


def _remember(rows: list[dict[str, Any]], seen: dict[str, int]) -> None:
    for row in rows:
        seen[str(row["id"])] = row["at"]
    newest = max(seen.values(), default=0)
    for row_id in [key for key, at in seen.items() if at < newest - 120_000_000]:
        del seen[row_id]


def _show(output: Output, rows: list[dict[str, Any]], seen: Mapping[str, int]) -> None:
    if output.format is Format.JSON:
        for row in rows:
            click.echo(json.dumps(audit_record(row), ensure_ascii=False))
        return
    if output.columns:
        show_rows(Output(None, output.columns, headers=output.headers and not seen), output.columns, rows)
        return
    for record in map(audit_record, rows):
        fields = COLUMNS if output.format is Format.WIDE else ("at", "event", "identity", "target", "role", "project")
        cells = [format_cell(record.get(name)) for name in fields]
        text = record.get("command") or record.get("sentence")
        click.echo("  ".join(cell for cell in [*cells, format_cell(text)] if cell))
