"""One database, and the few places where SQLite and PostgreSQL differ."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from aizen_hub.settings import ConfigurationError
from aizen_hub.store.timestamps import from_microseconds

CHANGING = "statements-changing"
"""Where a connection counts the statements that may change somebody's rights."""
_WITHOUT_RIGHTS = frozenset({
    "outbox", "names", "replays", "throttles", "jobs", "open_commands", "pending", "project_alerts", "audit",
})  # fmt: skip
_STATE = "SELECT value, catalog_hash, not_before{now} FROM revision WHERE id = 1{lock}"
_PG_NOW = ", CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
_PG_SERVER = ", CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS bigint)"


class State(NamedTuple):
    """The single revision row, the store's time when it was read, and which server answered."""

    revision: int
    catalog_hash: str
    not_before: int | None  # microseconds
    now: datetime
    server: int = 0  # its start, in microseconds; every server that takes over has another one


class Database:
    """An engine whose transactions we begin and end ourselves.

    The driver is in autocommit, so that ``BEGIN IMMEDIATE`` and isolation levels are ours to say and the hot path may
    use the driver directly within the same transaction.

    Parameters
    ----------
    url : str
        ``sqlite:///file`` or ``postgresql://…``.
    deadline_seconds : float
        No statement, lock or pool slot is waited for longer than this.
    """

    def __init__(self, url: str, deadline_seconds: float = 5.0) -> None:
        self.url = database_url(url)
        self.embedded = self.url.get_backend_name() == "sqlite"
        self.deadline_seconds = deadline_seconds
        self.newest = -1
        """The newest revision that this process has seen; where a later view is older, the database was set back."""
        self.forget: Callable[[], None] = lambda: None
        """Called before anything is read from another server than the last time."""
        self._server = 0
        milliseconds = max(1, int(deadline_seconds * 1000))
        if self.embedded:
            self.path: Path | None = sqlite_path(self.url)
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
                # Its rows follow whatever the chain ends with when its turn there comes, not when it began.
                "append": "BEGIN ISOLATION LEVEL READ COMMITTED" + timeouts,
                # One snapshot for revision and rights. Appending conflicts with nobody, so it never has to be retried.
                "batch": "BEGIN ISOLATION LEVEL REPEATABLE READ" + timeouts,
            }
            self._state = _STATE.format(now=_PG_NOW + _PG_SERVER, lock="")
            self._state_locked = _STATE.format(now=_PG_NOW + _PG_SERVER, lock=" FOR UPDATE")
        self.engine = self._engine(milliseconds)
        dbapi: Any = self.engine.dialect.loaded_dbapi
        self.driver_error: type[Exception] = dbapi.Error

    def begin(self, conn: Connection, kind: str) -> None:
        """Begin a transaction: ``read`` (one snapshot), ``write``, ``append`` (audit rows) or ``batch`` (both)."""
        cursor = self.cursor(conn)
        cursor.execute(self._begin[kind])

    def commit(self, conn: Connection) -> None:
        self.cursor(conn).execute("COMMIT")

    def rollback(self, conn: Connection) -> None:
        """Give up the transaction; a connection that cannot even do that is thrown away."""
        if conn.invalidated:
            return  # it is lost already, and its transaction with it
        try:
            conn.connection.rollback()
        except self.driver_error:
            conn.invalidate()

    def begin_at(self, conn: Connection, kind: str) -> State:
        """Begin a transaction and read the revision row in it, which ``write`` locks until its end.

        To a server both go in one message.
        """
        cursor = self.cursor(conn)
        state = self._state_locked if kind == "write" else self._state
        if self.embedded:
            cursor.execute(self._begin[kind])
            cursor.execute(state)
        else:
            cursor.execute(f"{self._begin[kind]}; {state}")
            while cursor.nextset():
                pass
        row = cursor.fetchone()
        if row is None:
            raise ConfigurationError("the database has no revision row; run `aizen-hub db check`")
        now = datetime.now(UTC) if self.embedded else from_microseconds(row[3])
        server = 0 if self.embedded else row[4]
        if server != self._server:
            # After a failover a revision that we know may have been lost, and its number be that of another change.
            self.forget()
            self._server = server
        self.newest = max(self.newest, row[0])
        return State(row[0], row[1], row[2], now, server)

    def cursor(self, conn: Connection) -> Any:
        """Return a cursor of the driver itself, inside the connection's present transaction."""
        return conn.connection.cursor()

    def sql(self, text: str) -> str:
        """Return ``text``, written with ``?``, with this driver's placeholders."""
        return text if self.embedded else text.replace("?", "%s")

    def dispose(self) -> None:
        self.engine.dispose()

    def _engine(self, milliseconds: int) -> Engine:
        pool = {"pool_size": 8, "max_overflow": 8, "pool_timeout": self.deadline_seconds}
        if self.path is not None:
            engine = create_engine(self.url, isolation_level="AUTOCOMMIT", **pool)
            create_private(self.path)

            @event.listens_for(engine, "connect")
            def set_up(connection: sqlite3.Connection, _record: Any) -> None:
                cursor = connection.cursor()
                cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
                cursor.execute("PRAGMA journal_mode = WAL")
                cursor.execute("PRAGMA synchronous = FULL")
                cursor.execute("PRAGMA foreign_keys = ON")
                cursor.execute("PRAGMA temp_store = MEMORY")
                cursor.execute("PRAGMA cache_size = -16384")
                # Whoever commits last before a checkpoint waits for it. Audit rows write the same few pages again and
                # again: four times the log is a quarter of the checkpoints, each hardly longer.
                cursor.execute("PRAGMA wal_autocheckpoint = 4000")
                cursor.close()

        else:
            engine = create_engine(
                self.url,
                isolation_level="AUTOCOMMIT",
                pool_pre_ping=True,
                # Prepared statements do not survive a transaction pooler in front of the database.
                connect_args={
                    "connect_timeout": max(1, int(self.deadline_seconds)),
                    "prepare_threshold": None,
                    # A peer that vanished is noticed by the network, not by a statement timeout that it would have to
                    # send.
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
                conn.info[CHANGING] = conn.info.get(CHANGING, 0) + 1

        return engine


def _may_change_rights(statement: str, context: Any) -> bool:
    compiled = None if context is None else context.compiled
    if compiled is None:
        return not statement.lstrip()[:6].upper().startswith("SELECT")
    if not (context.isinsert or context.isupdate or context.isdelete):
        return False
    return getattr(getattr(compiled.statement, "table", None), "name", "") not in _WITHOUT_RIGHTS


def database_url(url: str) -> URL:
    """Read a database address and choose the driver; ConfigurationError for one that we do not support."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its message could show a password
        raise ConfigurationError("`database`: this is no address; use sqlite:///file or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        sqlite_path(parsed)
        return parsed.set(drivername="sqlite")
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigurationError(f"`database`: `{backend}` is not supported; use sqlite:///file or postgresql://…")


def sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError("`database`: SQLite needs a plain file, sqlite:///path")
    return Path(url.database)


def create_private(path: Path) -> None:
    """Make the file if it is missing, readable for its owner only; SQLite gives its helper files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for one in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if one.exists() and stat.S_IMODE(one.stat().st_mode) & 0o077:
            one.chmod(0o600)
