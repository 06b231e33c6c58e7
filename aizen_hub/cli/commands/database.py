"""``aizen-hub db``: the schema of the database, changed only when an operator says so (R5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import say
from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        default="aizen.yaml",
        show_default=True,
        help="The configuration file.",
    )(command)


@click.group()
def db() -> None:
    """Look after the database that aizen.yaml names."""


@db.command()
@config_option
@click.option(
    "--service-role", help="On PostgreSQL: the role that the service connects with; it may only add to the audit."
)
@click.option("--url", envvar="AIZEN_OWNER_URL", help="Connect as the owner of the tables.  [env: AIZEN_OWNER_URL]")
def upgrade(config: Path, service_role: str | None, url: str | None) -> int:
    """Bring the schema to this version, in one transaction.

    On PostgreSQL keep two roles: an owner that upgrades, and a service role that aizen.yaml names. With --service-role
    the owner gives it what the service needs, and no way to change or remove what was recorded.

    Run it once after an installation on PostgreSQL and after each upgrade of aizen-hub, before the service starts. A
    new SQLite file is made by the service itself.
    """
    from aizen_hub.store import migrate as schema

    settings = Settings.load(config)
    if settings.embedded and settings.database is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    click.echo(schema.upgrade(url or settings.database_url, service_role))
    say("the schema is at this version")
    return Outcome.DONE


@db.command()
@config_option
def check(config: Path) -> int:
    """Say whether the schema is the one this version works with; exits 1 if not."""
    from aizen_hub.store import migrate as schema

    settings = Settings.load(config)
    if settings.embedded and settings.database is None and not (settings.data_dir / "aizen.sqlite").exists():
        say("there is no database yet; the service makes it at its first start, or `aizen-hub db upgrade` does")
        return Outcome.NOT_FOUND
    click.echo(schema.check(settings.database_url))
    say("the schema is the one this version works with")
    return Outcome.DONE


@db.command()
@config_option
def compact(config: Path) -> int:
    """Give the room of rows that are gone back to the disk.

    A SQLite file keeps the room that removed rows leave, after `audit seal` for example, and uses it again. This writes
    the file anew without it. The service must not run meanwhile, and it takes as much free room as the rows that stay.
    PostgreSQL does the same by itself.

    \b
    Example: aizen-hub db compact -c aizen.yaml
    """
    from aizen_hub.store import migrate as schema
    from aizen_hub.store.database import database_url, sqlite_path
    from aizen_hub.store.instance_lock import InstanceLock

    settings = Settings.load(config)
    lock = InstanceLock.beside(settings)
    if lock is None:
        say("nothing to do: PostgreSQL uses and gives back that room by itself (autovacuum)")
        return Outcome.DONE
    path = sqlite_path(database_url(settings.database_url))
    if not path.exists():
        say("there is no database yet; the service makes it at its first start")
        return Outcome.NOT_FOUND
    with lock:
        schema.check(settings.database_url)
        before = path.stat().st_size
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as conn:
                conn.execute("VACUUM")
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the file could not be written anew and is as it was: {error}",
                remedy="make room on its disk and that of temporary files, and let no other command use it",
            ) from None
        after = path.stat().st_size
    say(f"the file had {before} bytes and has {after} now")
    return Outcome.DONE


@db.command("accept-restore")
@config_option
@click.option("--reason", default="", help="For the audit.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_restore(config: Path, reason: str, yes: bool) -> int:
    """Go on from a restored backup, whose last changes are lost.

    A service on a database older than its last signed checkpoint decides nothing. If the newer one cannot be brought
    back, this accepts what is there: every role token, session and activation link ends, all keys are replaced, and the
    audit and the checkpoints say so. Roles that were taken away, and locks and credentials that were changed after the
    backup are as they were then: look through them. Running services go on by themselves.
    """
    from aizen_hub.accounts.restore import accept
    from aizen_hub.audit.archive.manifest import Seals
    from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
    from aizen_hub.audit.checkpoints.signing import checker, signer
    from aizen_hub.audit.integrity.chain_verifier import heads
    from aizen_hub.audit.integrity.rollback_detection import find_loss
    from aizen_hub.cli.local_store import opened_with_keys, operator

    settings = Settings.load(config)
    file = CheckpointFile(settings.checkpoint_path)
    with opened_with_keys(settings) as (store, keys):
        with store.read() as tx:
            check = checker(keys.list(tx))
            checkpoints, faults = file.read(check)
            loss = find_loss(tx.conn, tx.revision, Seals.read(tx.conn, check), checkpoints, faults)
        if loss is None:
            say("nothing to accept: the database holds all that was signed")
            return Outcome.CONFLICT
        say(loss.sentence)
        if loss.since is not None:
            say(f"the last checkpoint that it holds is of {loss.since.isoformat(timespec='seconds')}")
        if not yes:
            click.confirm("Go on without what was recorded since?", abort=True, err=True)
        with store.write(operator()) as write:
            done = accept(write, keys, loss, reason[:200])
        with store.read() as tx:
            file.append(heads(tx.conn), tx.revision, tx.now, signer(keys.ring(tx)), void_from=loss.void_from)
    say(f"accepted: ended {done.sessions} sessions and {done.links} activation links, replaced {done.keys} keys")
    return Outcome.DONE
