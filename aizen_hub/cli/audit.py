"""``aizen-hub audit``: what was decided and changed, and whether anybody touched the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.database import config_option
from aizen_hub.cli.outcome import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_rows
from aizen_hub.client.sync import SyncClient
from aizen_hub.settings import Settings

COLUMNS = ("at", "event", "identity", "project", "command", "allowed", "sentence", "id")
TIMES = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]
_PAGE = 1000


@click.group()
def audit() -> None:
    """Read the audit, and check that nobody touched it."""


@audit.command()
@connected
@click.option("--identity", help="Only of this one: user:NAME, group:NAME or service-account:NAME.")
@click.option("--project", help="Only in this project.")
@click.option("--event", help="Only of this kind, for example decision, role.granted or session.opened.")
@click.option("--id", "number", help="The row of one decision or event.")
@click.option("--since", type=click.DateTime(TIMES), help="From then on, UTC.")
@click.option("--until", type=click.DateTime(TIMES), help="Before then, UTC.")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="At most so many rows.")
@output_option
def show(client: SyncClient, number: str | None, limit: int, output: str, **where: Any) -> int:
    """Show the newest rows, newest first. Needs the right to read the audit; reading it is recorded too."""
    rows = client.get(_query(number=number, limit=limit, **where))["data"]["audit"]
    shown = [{**row, "at": _moment(row["at"])} for row in rows] if output == "table" else rows
    show_rows(output, COLUMNS, shown)
    return Outcome.DONE


@audit.command()
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON lines for programs, CSV for spreadsheets.",
)
def export(config: Path, form: str) -> int:
    """Print the whole audit, on the service's own machine; the export itself is recorded.

    JSON lines keep every row as it was hashed. In CSV no cell is computed by a spreadsheet.
    """
    from aizen_hub.audit.export import csv_lines, json_lines
    from aizen_hub.audit.search import every
    from aizen_hub.cli.operator import opened, operator
    from aizen_hub.store.transaction import make_row

    with opened(Settings.load(config)) as store:
        with store.read() as tx:
            now = tx.now
        store.record([make_row(operator(), "audit.exported", now, format=form)])
        with store.read() as tx:
            rows: Iterator[dict[str, Any]] = every(tx.conn)
            for line in json_lines(rows) if form == "jsonl" else csv_lines(rows):
                click.echo(line, nl=False)
    return Outcome.DONE


@audit.command()
@config_option
@output_option
def verify(config: Path, output: str) -> int:
    """Check every row, every signed checkpoint, and the store against its own history.

    Runs on the service's own machine, beside the running service. Exit code 0: all is as it was written; 1: something
    was changed, removed or inserted, and each finding says where.
    """
    from aizen_hub.audit.checkpoint import CheckpointFile
    from aizen_hub.audit.replay import compare
    from aizen_hub.audit.verify import verify as verify_chains
    from aizen_hub.cli.operator import opened
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.tokens.keys import Purpose

    settings = Settings.load(config)
    with opened(settings) as store:
        keys = KeyStore.open(settings, store)
        with store.read() as tx:
            known = {key.kid: key.public for key in keys.list(tx) if key.purpose is Purpose.CHECKPOINT}
            checkpoints, faults = CheckpointFile(settings.checkpoint_path).read(_checker(known))
            report = verify_chains(tx.conn, checkpoints)
            differences = compare(tx.conn)
    findings = [
        *({"place": f"{one.writer} row {one.number}", **_plain(asdict(one))} for one in report.findings),
        *({"place": f"checkpoint line {one.line}", "kind": "checkpoint", **asdict(one)} for one in faults),
        *({"place": "store", "kind": one.what, "sentence": one.sentence} for one in differences),
    ]
    if output == "json":
        show_json({"rows": report.rows, "checkpoints": report.checkpoints, "findings": findings})
    elif findings:
        show_rows("table", ("place", "kind", "sentence"), findings)
    verdict = f"{len(findings)} findings" if findings else "nothing was touched"
    say(f"{report.rows} rows and {report.checkpoints} checkpoints checked: {verdict}")
    if not report.checkpoints:
        say("no checkpoint was found, so a cut-off end would not be seen")
    return Outcome.ERROR if findings else Outcome.DONE


def _checker(known: dict[str, Any]) -> Any:
    from cryptography.exceptions import InvalidSignature

    def check(kid: str, data: bytes, signature: bytes) -> bool:
        key = known.get(kid)
        if key is None:
            return False
        try:
            key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return check


def _query(**members: Any) -> str:
    given = {
        name: value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else str(value)
        for name, value in members.items()
        if value is not None
    }
    if "number" in given:
        given["id"] = given.pop("number")
    return path("audit", **given)


def _plain(finding: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(finding))
    return plain


def _moment(value: Any) -> str:
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1e6, UTC).isoformat(sep=" ", timespec="milliseconds")
    return str(value)
