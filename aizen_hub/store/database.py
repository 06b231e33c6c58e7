"""The database engine and its transactions, with the differences between SQLite and PostgreSQL."""

from __future__ import annotations

import importlib
import os
import sqlite3
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from aizen_hub.settings import ConfigurationError
from aizen_hub.settings_source import check_query
from aizen_hub.store.database_file import DatabaseFile
from aizen_hub.store.db_errors import UnusableDatabase
from aizen_hub.store.timestamps import from_microseconds

CHANGE_COUNTER = "statements-changing"
"""Key in ``Connection.info`` of the number of statements that may have changed rights."""
_TABLES_WITHOUT_RIGHTS = frozenset({
    "outbox", "names", "idempotency_keys", "attempt_counters", "jobs", "open_commands", "pending_changes",
    "project_alerts", "audit", "replicas",
})  # fmt: skip
_STATE = "SELECT value, catalog_hash, not_before, schema_version{now} FROM revision WHERE id = 1{lock}"
_PG_NOW = ", CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
_PG_SERVER_STARTED = ", CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS bigint)"


class StoreState(NamedTuple):
    """The single revision row, the store's time when it was read, and the database server that answered."""

    revision: int
    catalog_hash: str
    not_before: int | None  # microseconds
    now: datetime
    server_started: int = 0  # start time of the server in microseconds; differs after a failover


class Database:
    """A database engine with explicit transactions.

    The driver runs in autocommit mode: the class issues ``BEGIN IMMEDIATE`` and isolation levels itself, and the hot
    path can use the driver directly within the same transaction.

    Parameters
    ----------
    url : str
        ``sqlite:///file`` or ``postgresql://…``.
    deadline_seconds : float
        Upper bound of the wait for a statement, a lock or a connection of the pool.
    read_only : bool
        Open an embedded file without creating or changing it; a server decides by its roles.
    """

    def __init__(self, url: str, deadline_seconds: float = 5.0, *, read_only: bool = False) -> None:
        self.url = database_url(url)
        self.embedded = self.url.get_backend_name() == "sqlite"
        self.deadline_seconds = deadline_seconds
        self._read_only = read_only
        self.newest_revision = -1
        """The newest revision that this process has seen. If a later one is older, the database was rolled back."""
        self.schema_version: str | None = None
        """The schema that this process works with; every transaction refuses another one that does not serve it.

        None: any, for migrations.
        """
        self.on_server_change: Callable[[], None] = lambda: None
        """Called when another database server answers than before, to drop what was cached from the former one."""
        self._server_started = 0
        self._file: DatabaseFile | None = None
        milliseconds = max(1, int(deadline_seconds * 1000))
        if self.embedded:
            self.path: Path | None = sqlite_path(self.url)
            if not read_only:
                create_private_file(self.path)
                self._file = DatabaseFile(self.path)
            self.placeholder = "?"
            self._begin = {"read": "BEGIN", "write": "BEGIN IMMEDIATE"}
            self._begin["batch"] = self._begin["append"] = self._begin["write"]
            self._state = self._state_locked = _STATE.format(now="", lock="")
        else:
            self.path = None
            self.placeholder = "%s"
            timeouts = (
                f"; SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds}"
                f"; SET LOCAL idle_in_transaction_session_timeout = {4 * milliseconds}"
            )
            self._begin = {
                "read": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + timeouts,
                "write": "BEGIN ISOLATION LEVEL READ COMMITTED" + timeouts,
                # Not a snapshot: the rows continue the chain as it ends when its lock is acquired.
                "append": "BEGIN ISOLATION LEVEL READ COMMITTED" + timeouts,
                # One snapshot for revision and rights. Inserts conflict with no other transaction, so no retry.
                "batch": "BEGIN ISOLATION LEVEL REPEATABLE READ" + timeouts,
            }
            self._state = _STATE.format(now=_PG_NOW + _PG_SERVER_STARTED, lock="")
            self._state_locked = _STATE.format(now=_PG_NOW + _PG_SERVER_STARTED, lock=" FOR UPDATE")
        self.engine = self._create_engine(milliseconds)
        dbapi: Any = self.engine.dialect.loaded_dbapi
        self.driver_error: type[Exception] = dbapi.Error

    def begin(self, conn: Connection, kind: str) -> None:
        """Begin a transaction: ``read`` (one snapshot), ``write``, ``append`` (audit rows) or ``batch`` (both)."""
        cursor = self.cursor(conn)
        cursor.execute(self._begin[kind])

    def commit(self, conn: Connection) -> None:
        """Commit the transaction."""
        self.cursor(conn).execute("COMMIT")

    def rollback(self, conn: Connection) -> None:
        """Roll the transaction back; drop the connection if that fails."""
        if conn.invalidated:
            return  # the connection is lost, and its transaction with it
        try:
            conn.connection.rollback()
        except self.driver_error:
            conn.invalidate()

    def begin_and_read_state(self, conn: Connection, kind: str) -> StoreState:
        """Begin a transaction and read the revision row in it, which ``write`` locks until its end.

        PostgreSQL receives both statements in one message.
        """
        cursor = self.cursor(conn)
        state = self._state_locked if kind == "write" else self._state
        if self.embedded:
            if self._file is not None:
                self._file.check()
            cursor.execute(self._begin[kind])
            cursor.execute(state)
            if self._file is not None:
                self._file.check_log(conn.info)
        else:
            cursor.execute(f"{self._begin[kind]}; {state}")
            while cursor.nextset():
                pass
        row = cursor.fetchone()
        if row is None:
            raise ConfigurationError("the database has no revision row; run `aizen-hub db check`")
        if self.schema_version not in (None, row[3]) and self.schema_version not in row[3].split(","):
            raise UnusableDatabase(
                f"the database was upgraded to the schema `{row[3].partition(',')[0]}`, and this program works with"
                f" `{self.schema_version}`",
                remedy="restart the service with the upgraded aizen-hub",
                extensions={"sealed": True},
            )
        now = datetime.now(UTC) if self.embedded else from_microseconds(row[4])
        server = 0 if self.embedded else row[5]
        if server != self._server_started:
            # A failover may lose the last revisions, and their numbers may be used again by other changes.
            self.on_server_change()
            self._server_started = server
        self.newest_revision = max(self.newest_revision, row[0])
        return StoreState(row[0], row[1], row[2], now, server)

    def cursor(self, conn: Connection) -> Any:
        """Return a cursor of the driver, in the current transaction of the connection."""
        return conn.connection.cursor()

    def with_placeholders(self, text: str) -> str:
        """Replace ``?`` with this driver's placeholder."""
        return text if self.embedded else text.replace("?", "%s")

    def dispose(self) -> None:
        """Close all connections of the pool."""
        self.engine.dispose()
        if self._file is not None:
            self._file.close()

    def _create_engine(self, milliseconds: int) -> Engine:
        pool = {"pool_size": 8, "max_overflow": 8, "pool_timeout": self.deadline_seconds}
        if self.path is not None:
            engine = create_engine(
                _read_only_url(self.path) if self._read_only else _file_url(self.path, {"mode": "rw"}),
                isolation_level="AUTOCOMMIT",
                **pool,
            )

            @event.listens_for(engine, "do_connect")
            def check_file(*_arguments: Any) -> None:
                if self._file is not None:
                    # SQLite would combine another file with the write-ahead log of the former one.
                    self._file.check()

            @event.listens_for(engine, "connect")
            def configure_connection(connection: sqlite3.Connection, _record: Any) -> None:
                cursor = connection.cursor()
                cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
                if self._read_only:
                    cursor.close()
                    return
                cursor.execute("PRAGMA journal_mode = WAL")
                cursor.execute("PRAGMA synchronous = FULL")
                cursor.execute("PRAGMA foreign_keys = ON")
                cursor.execute("PRAGMA temp_store = MEMORY")
                cursor.execute("PRAGMA cache_size = -16384")
                # The last commit before a checkpoint waits for it. Audit rows rewrite the same few pages: a log of four
                # times the default means a quarter of the checkpoints, each hardly longer.
                cursor.execute("PRAGMA wal_autocheckpoint = 4000")
                cursor.close()

        else:
            _require_postgres_driver()
            engine = create_engine(
                self.url,
                isolation_level="AUTOCOMMIT",
                pool_pre_ping=True,
                # Prepared statements do not work through a transaction pooler.
                connect_args={
                    "connect_timeout": max(1, int(self.deadline_seconds)),
                    "prepare_threshold": None,
                    # The server enforces the statement timeout, so only these detect a server that is gone.
                    "tcp_user_timeout": milliseconds,
                    "keepalives_idle": 5,
                    "keepalives_interval": 2,
                    "keepalives_count": 3,
                },
                **pool,
            )

        @event.listens_for(engine, "before_cursor_execute")
        def count_changes(
            conn: Connection, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
        ) -> None:
            if _may_change_rights(statement, context):
                conn.info[CHANGE_COUNTER] = conn.info.get(CHANGE_COUNTER, 0) + 1

        return engine


def _may_change_rights(statement: str, context: Any) -> bool:
    compiled = None if context is None else context.compiled
    if compiled is None:
        return not statement.lstrip()[:6].upper().startswith("SELECT")
    if not (context.isinsert or context.isupdate or context.isdelete):
        return False
    return getattr(getattr(compiled.statement, "table", None), "name", "") not in _TABLES_WITHOUT_RIGHTS


def database_url(url: str) -> URL:
    """Parse a database URL and choose the driver.

    Raises
    ------
    ConfigurationError
        The URL is invalid, the database is not supported, or the query holds a secret.
    """
    check_query(url, "database", "write it before the host, postgresql://user:…@host/name, or into ~/.pgpass")
    try:
        # A variable that is filled from a file, as Kubernetes does it, has the end of its line too.
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):  # the message of the original error may hold a password
        raise ConfigurationError(
            "`database`: this is not a database URL; use sqlite:///file or postgresql://…"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        sqlite_path(parsed)
        return parsed.set(drivername="sqlite")
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigurationError(f"`database`: `{backend}` is not supported; use sqlite:///file or postgresql://…")


def sqlite_path(url: URL) -> Path:
    """Return the file of an SQLite URL; ConfigurationError if it does not name a plain file."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError("`database`: SQLite needs a plain file, sqlite:///path")
    return Path(url.database)


def _require_postgres_driver() -> None:
    try:
        importlib.import_module("psycopg")
    except ImportError:
        raise ConfigurationError(
            "`database`: the driver for PostgreSQL is not installed: pip install 'aizen-hub[postgres]'"
        ) from None


def _read_only_url(path: Path) -> URL:
    query = {"mode": "ro"}
    if not path.with_name(path.name + "-wal").exists():
        # No process has it open. Without this SQLite would make the helper files, with the mode of the database.
        query["immutable"] = "1"
    return _file_url(path, query)


def _file_url(path: Path, query: Mapping[str, str]) -> URL:
    # With a mode SQLite does not create a file that is missing, as one that was deleted a moment ago.
    return URL.create("sqlite", database=f"file:{quote(str(path))}", query={**query, "uri": "true"})


def create_private_file(path: Path) -> None:
    """Create the file if it is missing, readable by its owner only; SQLite gives its helper files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)
