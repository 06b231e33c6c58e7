"""Backup and restore of an embedded database: consistent while the service runs, and never over existing files."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from aizen_hub.problems import Conflict, Unavailable

_SUFFIXES = ("", "-wal", "-shm")
_BUSY_SECONDS = 30.0


def back_up(database: Path, target: Path) -> int:
    """Copy a database into one file with mode 0600, in one snapshot; writers are not blocked. Returns its revision.

    Copying the database file itself would lose the rows that are still in its write-ahead log.

    Raises
    ------
    Conflict
        ``target`` exists.
    Unavailable
        It cannot be written, or the copy is damaged; nothing is left behind.
    """
    with new_file(target, "the backup") as temporary, _translate_errors("the backup"):
        # Read-write, since a reader takes part in the locks of the write-ahead log; it changes no row.
        source_url = f"file:{quote(str(database.absolute()))}?mode=rw"
        with (
            closing(sqlite3.connect(source_url, uri=True, timeout=_BUSY_SECONDS)) as source,
            closing(sqlite3.connect(temporary)) as copy,
        ):
            # All pages in one step: a copy in several steps begins again whenever another process writes.
            source.backup(copy)
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        return check_backup(temporary)


def check_backup(path: Path) -> int:
    """Return the revision of a backup, after checking that it is a whole database of aizen-hub.

    Raises
    ------
    Unavailable
        It is damaged, or something else.
    """
    url = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with _translate_errors(f"the backup {path}"), closing(sqlite3.connect(url, uri=True)) as conn:
        fault = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if fault != "ok":
            raise Unavailable(f"the backup {path} is damaged: {fault}")
        row = conn.execute("SELECT value FROM revision WHERE id = 1").fetchone()
    if row is None:
        raise Unavailable(f"the backup {path} holds no aizen-hub database")
    return int(row[0])


def restore(backup: Path, database: Path) -> tuple[int, Path | None]:
    """Put a backup in the place of the database; returns its revision, and where the former database is kept.

    The service must not run: the caller holds the instance lock.

    Raises
    ------
    Unavailable
        The backup is damaged or cannot be copied; the database is unchanged.
    """
    revision = check_backup(backup)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = database.with_name(f"{database.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as out, backup.open("rb") as source:
            while block := source.read(1 << 20):
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        kept = _set_aside(database)
        temporary.rename(database)
        _sync_folder(database.parent)
    except OSError as error:
        raise Unavailable(f"the backup could not be put in place: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return revision, kept


def _set_aside(database: Path) -> Path | None:
    """Rename the database with its log, which belong together; a log without its database too."""
    kept = database.with_name(f"{database.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    exists = False
    for suffix in _SUFFIXES:
        file = database.with_name(database.name + suffix)
        if file.exists():
            file.rename(kept.with_name(kept.name + suffix))
            exists = True
    return kept if exists else None


@contextmanager
def new_file(target: Path, what: str) -> Iterator[Path]:
    """Yield a private temporary file beside ``target``, which gets its name at the end of the block.

    Parameters
    ----------
    what : str
        What the file is, for messages: ``the backup``.

    Raises
    ------
    Conflict
        ``target`` exists.
    Unavailable
        It cannot be written; nothing is left behind.
    """
    if target.exists():
        raise _exists(target, what)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unavailable(f"{what} {target} cannot be written: {error.strerror}") from None
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.link(temporary, target)  # never replaces a file
        _sync_folder(target.parent)
    except FileExistsError:
        raise _exists(target, what) from None
    except OSError as error:
        raise Unavailable(f"{what} {target} cannot be written: {error.strerror}") from None
    finally:
        for suffix in (*_SUFFIXES, "-journal"):
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def _exists(target: Path, what: str) -> Conflict:
    return Conflict(f"{target} exists already", remedy=f"choose another file: {what} never replaces one")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"{what} failed: {error}", remedy="is its disk full, and is it a database?") from None
