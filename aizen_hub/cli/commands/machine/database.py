"""``aizen-hub db``: maintenance of the database; only an operator upgrades the schema (R5)."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import (
    find_rollback,
    open_checkpoint_log,
    open_store,
    open_store_with_keys,
    operator_actor,
    read_checkpoints,
)
from aizen_hub.cli.operation_progress import progress_view
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import show_message
from aizen_hub.problems import Conflict, NotFound, Unavailable
from aizen_hub.settings import Settings, resolve_database
from aizen_hub.validation.prose import check_prose

_URL_HELP = "On PostgreSQL: connect as this role, by default as the service does.  [env: AIZEN_OWNER_URL]"


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
    service itself creates a new SQLite file. On SQLite the service must not run meanwhile; on PostgreSQL, replicas of
    the former version stop deciding, unless `db check` says before that they go on. Make a backup before (`db backup`).
    """
    from aizen_hub.store import migrate
    from aizen_hub.store.instance_lock import InstanceLock

    settings = Settings.load(config)
    if settings.uses_sqlite and settings.database is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with InstanceLock.for_settings(settings) or nullcontext():
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


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.option("--url", envvar="AIZEN_OWNER_URL", help=_URL_HELP)
def backup(file: Path, config: Path, url: str | None) -> int:
    """Copy the database into FILE, consistent and readable by this account only, while the service runs.

    Copying `aizen.sqlite` itself loses the rows in its write-ahead log. FILE must not exist. It contains everything but
    what `db backup` lists: keep these files too, the key-encryption file apart from FILE. On PostgreSQL, FILE is a dump
    made by pg_dump.
    """
    from aizen_hub.store import postgres_backup, sqlite_backup
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.migrate import SchemaError

    settings = Settings.load(config)
    if settings.uses_sqlite and not sqlite_path(database_url(settings.database_url)).exists():
        raise NotFound("there is no database yet", remedy="the service creates it at its first start")
    if file.exists():
        raise Conflict(f"{file} exists already", remedy="choose another file: a backup never replaces one")
    try:
        with open_store(settings) as store, store.write(operator_actor()) as tx:
            tx.audit("database.backed-up", details={"file": str(file.absolute())})
    except SchemaError as error:
        show_message(f"this backup is not recorded in the audit: {error}")
    if settings.uses_sqlite:
        revision = sqlite_backup.back_up(sqlite_path(database_url(settings.database_url)), file)
        show_message(f"wrote {file}: revision {revision}, {file.stat().st_size} bytes")
    else:
        postgres_backup.back_up(url or settings.database_url, file)
        show_message(f"wrote {file}: {file.stat().st_size} bytes")
    show_message("keep with it, each as it is now or newer:")
    for what, path in _further_files(settings):
        click.echo(f"{path}\t{what}")
    return ExitCode.DONE


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.option("--url", envvar="AIZEN_OWNER_URL", help="On PostgreSQL: connect as the owner.  [env: AIZEN_OWNER_URL]")
@click.option("--replace", is_flag=True, help="Set an existing SQLite database aside, under another name.")
def restore(file: Path, config: Path, url: str | None, replace: bool) -> int:
    """Restore the database from FILE, which `db backup` made. The service must not run.

    An existing SQLite database is kept under another name (--replace); on PostgreSQL the database must be empty. Do not
    restore the checkpoints: the present ones tell what the backup lacks. If it lacks something, the service decides
    nothing until `aizen-hub db accept-restore`.
    """
    from aizen_hub.store import migrate, postgres_backup, sqlite_backup
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.instance_lock import InstanceLock

    settings = Settings.load(config)
    if not file.exists():
        raise NotFound(f"there is no file {file}", remedy="name a file that `aizen-hub db backup` wrote")
    lock = InstanceLock.for_settings(settings)
    if lock is None:
        postgres_backup.restore(url or settings.database_url, file)
        show_message("restored; grant the service's role its rights again: `aizen-hub db upgrade --service-role NAME`")
    else:
        database = sqlite_path(database_url(settings.database_url))
        if database.exists() and not replace:
            raise Conflict(f"{database} exists", remedy="set it aside with --replace, which keeps it")
        with lock:
            revision, kept = sqlite_backup.restore(file, database)
        show_message(f"restored {database}: revision {revision}")
        if kept is not None:
            show_message(f"the former database is kept as {kept}")
    try:
        migrate.check(url or settings.database_url)
    except migrate.SchemaError as error:
        show_message(f"before the service starts: {error}")
        return ExitCode.DONE
    with open_store_with_keys(settings) as (store, keys):
        loss = find_rollback(settings, store, keys)
        if keys.file_fault is not None:
            show_message(f"{keys.file_fault.sentence}: {settings.key_encryption_path}")
            show_message(keys.file_fault.remedy)
        elif loss is None:
            with store.write(operator_actor()) as tx:
                tx.audit("database.restored", details={"file": str(file.absolute())})
            show_message("it lacks nothing that was signed: start the service")
    if loss is not None:
        show_message(loss.sentence)
        show_message("start the service, which decides nothing, and run `aizen-hub db accept-restore`")
    return ExitCode.DONE


@db.command()
@config_option
@click.option(
    "--to",
    "target",
    envvar="AIZEN_TARGET_URL",
    required=True,
    help="The empty database: postgresql://OWNER@HOST/NAME or sqlite:///FILE.  [env: AIZEN_TARGET_URL]",
)
def copy(config: Path, target: str) -> int:
    """Copy the database of aizen.yaml to an empty one, from SQLite to PostgreSQL or back.

    No service may run meanwhile. Every table is copied and compared, and the audit is verified at the target; only then
    the copy is committed, so that a copy that breaks off leaves the target empty. The source stays as it is.
    Checkpoints, keys and secrets are elsewhere, and stay too. Afterwards name the target in `database` of aizen.yaml; a
    relative FILE is in its folder.

    A password belongs in AIZEN_TARGET_URL or ~/.pgpass: others see the arguments of a command.
    """
    from sqlalchemy import Connection

    from aizen_hub.audit.integrity.audit_run import run_audit
    from aizen_hub.store import migrate
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.database_copy import copy_database
    from aizen_hub.store.instance_lock import InstanceLock

    settings = Settings.load(config)
    target = resolve_database(target, config.absolute().parent)  # as `database` of aizen.yaml is, which is to name it
    shown = database_url(target).render_as_string(hide_password=True)
    if settings.uses_sqlite and not sqlite_path(database_url(settings.database_url)).exists():
        raise NotFound("there is no database yet", remedy="name the target in `database` of aizen.yaml right away")
    migrate.check(settings.database_url)
    with InstanceLock.for_settings(settings) or nullcontext():
        with open_store_with_keys(settings) as (store, keys):
            with store.write(operator_actor()) as tx:
                tx.audit("database.copied", details={"to": shown})
            checkpoints = read_checkpoints(settings, store, keys)
            with store.read() as read:
                key_list = keys.list_keys(read)

        def verify(conn: Connection) -> None:
            report = run_audit(conn, checkpoints, key_list)
            if report.findings:
                raise Conflict(
                    f"the audit has {len(report.findings)} findings, the first: {report.findings[0].sentence}",
                    remedy="run `aizen-hub audit verify`, and correct what it finds before the database is copied",
                )

        view = progress_view()
        try:
            result = copy_database(settings.database_url, target, verify, view.show)
        finally:
            view.close()
    show_message(
        f"copied revision {result.revision}: {sum(result.rows.values()):,} rows of {len(result.rows)} tables are the"
        " same in both, and the audit is intact"
    )
    if database_url(target).get_backend_name() == "sqlite":
        show_message(f"before the service starts, in aizen.yaml: `database: {target}`")
    else:
        show_message(f"before the service starts, in aizen.yaml: `database: {shown}`, with the role of the service")
        show_message("and grant that role its rights: `aizen-hub db upgrade --service-role NAME`")
    return ExitCode.DONE


@db.command("adopt-catalog")
@config_option
def adopt_catalog(config: Path) -> int:
    """Put the catalog of aizen.yaml in force for all replicas.

    Replicas decide only with the catalog that is in force. On PostgreSQL an operator changes it: after an upgrade of
    aizen-hub with another built-in catalog, or a change of `catalog` or `overlays`. Replicas with the former catalog
    answer 503 from then on, and those with the new one decide. On SQLite the service does it at its start.
    """
    settings = Settings.load(config)
    with open_store(settings) as store:
        catalog = f"`{store.catalog.name}`, version {store.catalog.version}"
        with store.read() as tx:
            is_in_force = tx.state.catalog_hash == store.catalog.hash
        if is_in_force:
            show_message(f"the catalog {catalog} is in force already")
            return ExitCode.DONE
        store.adopt_catalog()
    show_message(f"the catalog {catalog} is in force; restart the replicas that have another one")
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
    from aizen_hub.audit.checkpoints.heads import chain_heads
    from aizen_hub.audit.checkpoints.signing import checkpoint_signer

    check_prose(reason, "reason")
    settings = Settings.load(config)
    with open_store_with_keys(settings) as (store, keys), open_checkpoint_log(settings) as checkpoints:
        loss = find_rollback(settings, store, keys)
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
            checkpoints.append(
                chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx)), void_from=loss.void_from
            )
    show_message(
        f"accepted: ended {result.sessions} sessions and {result.links} activation links, replaced {result.keys} keys"
    )
    return ExitCode.DONE


def _further_files(settings: Settings) -> tuple[tuple[str, Path | str], ...]:
    return (
        (
            "checkpoints of the audit; never older than the backup",
            settings.checkpoint_path if settings.checkpoint_database is None else "checkpoint_database",
        ),
        ("key-encryption file; in another place than the backup", settings.key_encryption_path),
        ("secret shared with the hub", settings.hub_secret_path),
        *((f"secret shared with the hub {hub.id}", hub.secret_file) for hub in settings.further_hubs),
    )
