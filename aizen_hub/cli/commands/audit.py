"""``aizen-hub audit``: search, export, verification and archiving of the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.commands.audit_rows import COLUMNS, audit_query, audit_record
from aizen_hub.cli.commands.audit_tail import tail
from aizen_hub.cli.connection import pass_client
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import Output, output_option, show_message, show_rows
from aizen_hub.cli.short_ids import choose_id
from aizen_hub.cli.values import BEFORE, SINCE, TIME_HELP, PathOrUrl
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Conflict
from aizen_hub.settings import Settings

_PAGE, _WHOLE_ID = 1000, 32


@click.group()
def audit() -> None:
    """Search, follow, export, verify and archive the audit log."""


audit.add_command(tail)


@audit.command()
@pass_client
@click.option("--identity", help="Only rows of this identity: user:NAME, group:NAME or service-account:NAME.")
@click.option("--target", help="Only rows of what was done to this identity: user:NAME, group:NAME, …")
@click.option("--project", help="Only rows of this project.")
@click.option("--event", help="Only this event, for example decision, role.granted or session.opened.")
@click.option("--id", "row_id", help="Only the row of one decision or event.")
@click.option(
    "--since", type=SINCE, help="Only rows since then: yesterday, a duration ago such as 2h, a day, or a time."
)
@click.option("--until", type=BEFORE, help="Only rows before then; of a day that is named, all rows count.")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="Maximum number of rows.")
@output_option
def show(client: SyncClient, row_id: str | None, limit: int, output: Output, **filters: Any) -> int:
    """Show the newest rows, newest first. Requires permission to read the audit; the access is recorded.

    Of an id the first characters are enough, where it is one of the newest thousand rows.
    """
    if row_id is not None:
        row_id = _whole_id(client, row_id)
    data = client.get(audit_query(id=row_id, limit=limit, **filters))["data"]
    rows = data["audit"]
    show_rows(output, COLUMNS, map(audit_record, rows))
    archived, since = data.get("archived_until"), filters["since"]
    if archived is not None and len(rows) < limit and (since is None or since < datetime.fromisoformat(archived)):
        show_message(f"rows until {archived} are archived: see the files that `aizen-hub audit archive` wrote")
    if (examined := data.get("examined_until")) is not None:
        show_message(f"rows before {examined} were not searched: name a time with --until to continue from there")
    return ExitCode.DONE


@audit.command()
@config_option
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON lines for programs, CSV for spreadsheets.",
)
def export(config: Path, file_format: str) -> int:
    """Print the whole audit, on the service's machine; the export is recorded.

    JSON lines contain every row as it was hashed. CSV cells are escaped against spreadsheet formulas.
    """
    from aizen_hub.audit.archive.manifest import archived_until
    from aizen_hub.audit.export import to_csv_lines, to_json_lines
    from aizen_hub.audit.search import iterate_rows
    from aizen_hub.cli.local_store import open_store, operator_actor
    from aizen_hub.store.transaction import make_audit_record

    with open_store(Settings.load(config)) as store:
        with store.read() as tx:
            now, archived = tx.now, archived_until(tx.conn)
        store.append_audit([make_audit_record(operator_actor(), "audit.exported", now, format=file_format)])
        with store.read() as tx:
            rows: Iterator[dict[str, Any]] = iterate_rows(tx.conn)
            for line in to_json_lines(rows) if file_format == "jsonl" else to_csv_lines(rows):
                click.echo(line, nl=False)
    if archived is not None:
        show_message(f"rows until {archived.isoformat(timespec='seconds')} are archived in files and not exported")
    return ExitCode.DONE


@audit.command()
@config_option
@click.option(
    "--archive",
    "files",
    type=PathOrUrl(exists=True, dir_okay=False),
    multiple=True,
    help="A file with archived rows, or its URL in object storage, to be verified too; may be repeated.",
)
@output_option
def verify(config: Path, files: tuple[str, ...], output: Output) -> int:
    """Verify every row, every signed checkpoint, and the store against its recorded history.

    Runs on the service's machine, also while the service runs. Archived rows are verified by their signed manifests,
    and read only if --archive names their files. Exit code 0: nothing was modified; 1: something was changed, removed
    or inserted, and each finding says where. Files in object storage are downloaded to a temporary folder first.
    """
    from aizen_hub.audit.archive.storage import fetch_archive
    from aizen_hub.audit.integrity.audit_run import run_audit
    from aizen_hub.cli.local_store import open_store_with_keys, read_checkpoints

    settings = Settings.load(config)
    with ExitStack() as archives, open_store_with_keys(settings) as (store, keys):
        paths = [archives.enter_context(fetch_archive(file)) for file in files]
        checkpoints = read_checkpoints(settings, store, keys)
        with store.read() as tx:
            report = run_audit(tx.conn, checkpoints, keys.list_keys(tx), paths)
    findings = [
        {"location": finding.location, "kind": finding.kind, "sentence": finding.sentence}
        for finding in report.findings
    ]
    counts = {
        "rows": report.rows,
        "checkpoints": report.checkpoints,
        "archived": report.archived_rows,
        "unread": report.unread_rows,
    }
    if output.is_document:
        output.show_document({**counts, "findings": findings})
    elif findings:
        show_rows(output, ("location", "kind", "sentence"), findings)
    verdict = f"{len(findings)} findings" if findings else "no modification found"
    show_message(f"{report.rows} rows and {report.checkpoints} checkpoints checked: {verdict}")
    if not report.checkpoints:
        show_message("no checkpoint was found, so a truncated audit would not be detected")
    if report.unread_rows:
        show_message(
            f"{report.unread_rows} of {report.archived_rows} archived rows were not read: "
            "name their files with --archive"
        )
    return ExitCode.ERROR if findings else ExitCode.DONE


@audit.command()
@config_option
@click.option("--before", type=SINCE, required=True, help=f"Archive rows older than this: a day or {TIME_HELP}.")
@click.option(
    "--to",
    "destination",
    type=PathOrUrl(file_okay=False),
    required=True,
    help="Folder for the archive file, which belongs in your backups, or object storage: s3://bucket/prefix.",
)
@click.option("--url", envvar="AIZEN_OWNER_URL", help="Connect as the owner of the tables.  [env: AIZEN_OWNER_URL]")
def archive(config: Path, before: datetime, destination: str, url: str | None) -> int:
    """Move the oldest part of the audit into a signed file, in a folder or in object storage.

    Every row up to the last checkpoint before that time is written, read back and compared, and only then deleted from
    the database, which keeps a signed manifest. The archiving is recorded. It can run while the service runs, and again
    after an interruption. On PostgreSQL it needs the role that owns the tables. For object storage it needs
    `aizen-hub[object-storage]` and the library for the scheme, and takes credentials from the environment only.
    """
    from aizen_hub.audit.archive.archiver import Archiver
    from aizen_hub.audit.archive.storage import open_storage
    from aizen_hub.audit.checkpoints.signing import checkpoint_signer, signature_check
    from aizen_hub.cli.local_store import open_checkpoint_log, open_store_with_keys, operator_actor

    settings, archive_storage = Settings.load(config), open_storage(destination)
    if url is not None:
        settings = settings.model_copy(update={"database": url})
    with open_store_with_keys(settings) as (store, keys):
        with store.read() as tx:
            key_list, ring = keys.list_keys(tx), keys.ring(tx)
        with open_checkpoint_log(settings) as checkpoint_log:
            checkpoints, faults = checkpoint_log.read(signature_check(key_list))
        if faults:
            raise Conflict(
                f"the {checkpoint_log.storage.name} was modified: {faults[0].sentence}",
                remedy="run `aizen-hub audit verify` for details",
            )
        archiver = Archiver(
            store, operator_actor(), checkpoints, archive_storage, checkpoint_signer(ring), signature_check(key_list)
        )
        result = archiver.run(before)
    if result.removed and result.manifest is None:
        show_message(f"an earlier run had been interrupted: removed the {result.removed} rows that it had archived")
    if result.manifest is None or result.location is None:
        show_message("nothing to archive: the database has no rows up to a signed checkpoint before that time")
        return ExitCode.DONE
    click.echo(result.location)
    until = result.manifest.until.isoformat(timespec="seconds")
    show_message(
        f"archived {result.manifest.rows} rows up to the checkpoint of {until}; "
        f"removed {result.removed} from the database"
    )
    return ExitCode.DONE


def _whole_id(client: SyncClient, text: str) -> str:
    if len(text) >= _WHOLE_ID:
        return text
    rows = client.get(audit_query(limit=_PAGE))["data"]["audit"]
    return choose_id(text, ((str(row["id"]), f"{row['event']} {row.get('sentence') or ''}") for row in rows), "rows")
