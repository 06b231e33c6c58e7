"""Backup and restore of a PostgreSQL database with its own programs, ``pg_dump`` and ``pg_restore``."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import DBAPIError

from aizen_hub.problems import Conflict, Unavailable
from aizen_hub.store.checkpoint_rows import SCHEMA
from aizen_hub.store.database import database_url

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
_MAX_MESSAGE = 600
# Checkpoints may be in a schema of the same database: a backup must never bring back older ones.
_DUMP_OPTIONS = ["--format=custom", "--no-owner", "--no-privileges", f"--exclude-schema={SCHEMA}"]


def back_up(url: str, target: Path) -> None:
    """Dump the database in one snapshot into a file with mode 0600, in the format of ``pg_restore``.

    Raises
    ------
    Conflict
        ``target`` exists.
    Unavailable
        ``pg_dump`` is not installed, or failed; nothing is left behind.
    """
    if target.exists():
        raise Conflict(f"{target} exists already", remedy="choose another file: a backup never replaces one")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"the backup {target} cannot be written: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as out:
            _run(url, "pg_dump", _DUMP_OPTIONS, out.fileno())
            os.fsync(out.fileno())
        os.link(temporary, target)
    except OSError as error:
        raise Unavailable(f"the backup {target} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def restore(url: str, backup: Path) -> None:
    """Restore a dump into an empty database, in one transaction; connect as the owner of the tables.

    Raises
    ------
    Conflict
        The database is not empty.
    Unavailable
        ``pg_restore`` is not installed, or failed; the database is still empty.
    """
    engine = create_engine(database_url(url))
    try:
        with engine.connect() as conn:
            if inspect(conn).get_table_names():
                raise Conflict(
                    "the database is not empty", remedy="create an empty database, and name it in `database` or --url"
                )
    except DBAPIError:
        raise Unavailable("the database does not answer", remedy="start PostgreSQL, and check the URL") from None
    finally:
        engine.dispose()
    options = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    _run(url, "pg_restore", [*options, f"--dbname={make_url(url).database}", str(backup)], subprocess.DEVNULL)


def _run(url: str, program: str, arguments: list[str], output: int) -> None:
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"`{program}` is not on the search path", remedy="install PostgreSQL's client programs")
    parsed = database_url(url)
    # The driver's arguments: an address may name several servers.
    given = parsed.get_dialect()().create_connect_args(parsed)[1]
    # The password is in the environment of the child only: arguments are visible to all accounts.
    values = {variable: given[name] for name, variable in _VARIABLES.items() if given.get(name) is not None}
    environ = {**os.environ, **{name: str(value) for name, value in values.items()}}
    environ |= {"PGDATABASE": parsed.database or "", "PGCONNECT_TIMEOUT": "10"}
    done = subprocess.run(  # noqa: S603 - a fixed program, without a shell
        [found, *arguments], env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False
    )
    if done.returncode != 0:
        message = done.stderr.decode("utf-8", "replace").strip()
        raise Unavailable(f"{program} failed: {message[:_MAX_MESSAGE]}")
