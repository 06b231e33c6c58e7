"""``aizen-hub db``: maintenance of the database; only an operator upgrades the schema (R5)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import show_message
from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings
from aizen_hub.validation.prose import check_prose


@click.group()
def db() -> None:
    """Maintain the database that aizen.yaml names."""


@db.command()
@config_option
@click.option("--service-role", help="On PostgreSQL: the role of the service; it can only append to the audit.")
@click.option("--url", envvar="AIZEN_OWNER_URL", help="Connect as the owner of the tables.  [env: AIZEN_OWNER_URL]")
def upgrade(config: Path, service_role: str | None, url: str | None) -> int:
    """Upgrade the schema to this version, in one transaction.

    On PostgreSQL use two roles: an owner that upgrades, and a service role that aizen.yaml names. With --service-role
    the owner grants the privileges that the service needs, which do not include changing or deleting audit rows.

    Run it after the installation on PostgreSQL and after each upgrade of aizen-hub, before the service starts. The
    service itself creates a new SQLite file.
    """
    from aizen_hub.store import migrate

    settings = Settings.load(config)
    if settings.uses_sqlite and settings.database is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    click.echo(migrate.upgrade(url or settings.database_url, service_role))
    show_message("the schema is up to date")
    return ExitCode.DONE


@db.command()
@config_option
def check(config: Path) -> int:
    """Check that the schema matches this version; exits with 1 if not."""
    from aizen_hub.store import migrate

    settings = Settings.load(config)
    if settings.uses_sqlite and settings.database is None and not (settings.data_dir / "aizen.sqlite").exists():
        show_message(
            "there is no database yet; the service creates it at its first start, or `aizen-hub db upgrade` does"
        )
        return ExitCode.NOT_FOUND
    click.echo(migrate.check(settings.database_url))
    show_message("the schema is up to date")
    return ExitCode.DONE


@db.command()
@config_option
def compact(config: Path) -> int:
    """Return the space of deleted rows to the disk.

    A SQLite file does not shrink when rows are deleted, for example by `audit archive`. This command rewrites the file
    without the unused space. The service must not run meanwhile, and the remaining rows must fit on the disk a second
    time. PostgreSQL reuses the space by itself.

    \b
    Example: aizen-hub db compact -c aizen.yaml
    """
    from aizen_hub.store import migrate
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.instance_lock import InstanceLock

    settings = Settings.load(config)
    lock = InstanceLock.for_settings(settings)
    if lock is None:
        show_message("nothing to do: PostgreSQL reclaims that space by itself (autovacuum)")
        return ExitCode.DONE
    path = sqlite_path(database_url(settings.database_url))
    if not path.exists():
        show_message("there is no database yet; the service creates it at its first start")
        return ExitCode.NOT_FOUND
    with lock:
        migrate.check(settings.database_url)
        before = path.stat().st_size
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as conn:
                conn.execute("VACUUM")
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the file could not be rewritten and is unchanged: {error}",
                remedy="free space on its disk and on that of temporary files, and end other commands that use it",
            ) from None
        after = path.stat().st_size
    show_message(f"the file had {before} bytes and now has {after}")
    return ExitCode.DONE


@db.command("accept-restore")
@config_option
@click.option("--reason", default="", help="For the audit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_restore(config: Path, reason: str, yes: bool) -> int:
    """Accept a restored backup, whose last changes are lost.

    A service is sealed if its database is older than the last signed checkpoint. If the newer database cannot be
    restored, this command accepts the older one: it revokes all role tokens, sessions and activation links, replaces
    all keys, and records this in the audit and the checkpoints. Roles, locks and credentials have the state of the
    backup, so later revocations are lost: review them. Running services continue by themselves.
    """
    from aizen_hub.accounts.restore import accept_restored_database
    from aizen_hub.audit.archive.manifest import ArchiveManifests
    from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
    from aizen_hub.audit.checkpoints.heads import chain_heads
    from aizen_hub.audit.checkpoints.signing import checkpoint_signer, signature_check
    from aizen_hub.audit.integrity.rollback_detection import detect_rollback
    from aizen_hub.cli.local_store import open_store_with_keys, operator_actor

    check_prose(reason, "reason")
    settings = Settings.load(config)
    file = CheckpointFile(settings.checkpoint_path)
    with open_store_with_keys(settings) as (store, keys):
        with store.read() as tx:
            check = signature_check(keys.list_keys(tx))
            checkpoints, faults = file.read(check)
            loss = detect_rollback(tx.conn, tx.revision, ArchiveManifests.read(tx.conn, check), checkpoints, faults)
        if loss is None:
            show_message("nothing to accept: the database is not older than the last checkpoint")
            return ExitCode.CONFLICT
        show_message(loss.sentence)
        if loss.since is not None:
            show_message(f"the last checkpoint of this database is from {loss.since.isoformat(timespec='seconds')}")
        if not yes:
            click.confirm("Continue without the changes recorded since?", abort=True, err=True)
        with store.write(operator_actor()) as write:
            result = accept_restored_database(write, keys, loss, reason)
        with store.read() as tx:
            file.append(
                chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx)), void_from=loss.void_from
            )
    show_message(
        f"accepted: ended {result.sessions} sessions and {result.links} activation links, replaced {result.keys} keys"
    )
    return ExitCode.DONE
