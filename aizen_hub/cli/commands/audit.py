"""``aizen-hub audit``: what was decided and changed, and whether anybody touched the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.commands.database import config_option
from aizen_hub.cli.connection import connected, path
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_json, show_rows
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Conflict
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
    data = client.get(_query(number=number, limit=limit, **where))["data"]
    rows = data["audit"]
    shown = [{**row, "at": _moment(row["at"])} for row in rows] if output == "table" else rows
    show_rows(output, COLUMNS, shown)
    sealed, since = data.get("sealed_until"), where["since"]
    if sealed is not None and len(rows) < limit and (since is None or since.replace(tzinfo=UTC) < _time(sealed)):
        say(f"what was recorded until {sealed} is sealed: the files that `aizen-hub audit seal` wrote hold it")
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
    from aizen_hub.audit.archive.manifest import sealed_until
    from aizen_hub.audit.export import csv_lines, json_lines
    from aizen_hub.audit.search import every
    from aizen_hub.cli.local_store import opened, operator
    from aizen_hub.store.transaction import make_row

    with opened(Settings.load(config)) as store:
        with store.read() as tx:
            now, sealed = tx.now, sealed_until(tx.conn)
        store.record([make_row(operator(), "audit.exported", now, format=form)])
        with store.read() as tx:
            rows: Iterator[dict[str, Any]] = every(tx.conn)
            for line in json_lines(rows) if form == "jsonl" else csv_lines(rows):
                click.echo(line, nl=False)
    if sealed is not None:
        say(f"what was recorded until {sealed.isoformat(timespec='seconds')} is sealed: its files hold those rows")
    return Outcome.DONE


@audit.command()
@config_option
@click.option(
    "--segment",
    "files",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="A file of sealed rows to check with the rest; may be repeated.",
)
@output_option
def verify(config: Path, files: tuple[Path, ...], output: str) -> int:
    """Check every row, every signed checkpoint, and the store against its own history.

    Runs on the service's own machine, beside the running service. Sealed rows are proven by their seals, and read only
    where --segment gives their files. Exit code 0: all is as it was written; 1: something was changed, removed or
    inserted, and each finding says where.
    """
    from aizen_hub.audit.integrity.audit_run import examine
    from aizen_hub.cli.local_store import opened_with_keys

    settings = Settings.load(config)
    with opened_with_keys(settings) as (store, keys), store.read() as tx:
        seen = examine(tx.conn, settings.checkpoint_path, keys.list(tx), files)
    findings = [{"place": one.place, "kind": one.kind, "sentence": one.sentence} for one in seen.findings]
    counted = {"rows": seen.rows, "checkpoints": seen.checkpoints, "sealed": seen.sealed, "unread": seen.unread}
    if output == "json":
        show_json({**counted, "findings": findings})
    elif findings:
        show_rows("table", ("place", "kind", "sentence"), findings)
    verdict = f"{len(findings)} findings" if findings else "nothing was touched"
    say(f"{seen.rows} rows and {seen.checkpoints} checkpoints checked: {verdict}")
    if not seen.checkpoints:
        say("no checkpoint was found, so a cut-off end would not be seen")
    if seen.unread:
        say(f"{seen.unread} of {seen.sealed} sealed rows were not read: give their files with --segment")
    return Outcome.ERROR if findings else Outcome.DONE


@audit.command()
@config_option
@click.option("--before", type=click.DateTime(TIMES), required=True, help="Seal what is older, UTC.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder for the file; keep it, and back it up.",
)
@click.option("--url", envvar="AIZEN_OWNER_URL", help="Connect as the owner of the tables.  [env: AIZEN_OWNER_URL]")
def seal(config: Path, before: datetime, folder: Path, url: str | None) -> int:
    """Move the oldest part of the audit into a signed file.

    Everything up to the last checkpoint before that time is written, read back and compared, and only then removed
    from the database, where the signed boundary stays. The sealing is recorded. It may run beside the service, and be
    run again after an interruption. On PostgreSQL it needs the role that owns the tables.
    """
    from aizen_hub.audit.archive.archiver import Sealing
    from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
    from aizen_hub.audit.checkpoints.signing import checker, signer
    from aizen_hub.cli.local_store import opened_with_keys, operator

    settings = Settings.load(config)
    if url is not None:
        settings = settings.model_copy(update={"database": url})
    with opened_with_keys(settings) as (store, keys):
        with store.read() as tx:
            known, ring = keys.list(tx), keys.ring(tx)
        checkpoints, faults = CheckpointFile(settings.checkpoint_path).read(checker(known))
        if faults:
            raise Conflict(
                f"the checkpoints are not as they were written: {faults[0].sentence}",
                remedy="find out more with `aizen-hub audit verify`",
            )
        sealing = Sealing(store, operator(), checkpoints, folder, signer(ring), checker(known))
        done = sealing.run(before.replace(tzinfo=UTC))
    if done.removed and done.seal is None:
        say(f"an earlier run had been interrupted: removed the {done.removed} rows that it had sealed")
    if done.seal is None or done.path is None:
        say("nothing to seal: no signed checkpoint from before then ends at rows that are still in the database")
        return Outcome.DONE
    click.echo(str(done.path))
    until = done.seal.until.isoformat(timespec="seconds")
    say(f"sealed {done.seal.rows} rows, up to the checkpoint of {until}; removed {done.removed} from the database")
    return Outcome.DONE


def _query(**members: Any) -> str:
    given = {
        name: value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else str(value)
        for name, value in members.items()
        if value is not None
    }
    if "number" in given:
        given["id"] = given.pop("number")
    return path("audit", **given)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment(value: Any) -> str:
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1e6, UTC).isoformat(sep=" ", timespec="milliseconds")
    return str(value)
