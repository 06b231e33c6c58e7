"""Copies a whole database to an empty one of any supported kind, in one transaction at the target."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select, tuple_
from sqlalchemy.exc import DataError, IntegrityError

from aizen_hub.problems import Conflict, Unavailable
from aizen_hub.store import migrate, tables
from aizen_hub.store.database import Database, database_url, sqlite_path
from aizen_hub.store.db_diagnosis import translate_for_operator
from aizen_hub.store.sqlite_backup import check_backup, new_file
from aizen_hub.store.timestamps import to_microseconds

BATCH_ROWS = 500
"""Rows that are in memory at a time."""
_DEADLINE_SECONDS = 60.0
_RUNNING_SECONDS = 45
"""Replicas report themselves every ten seconds; one that was seen earlier has stopped."""
_RUNNING_REPLICAS = (
    "SELECT DISTINCT host FROM replicas"
    " WHERE seen > CAST((extract(epoch FROM clock_timestamp()) - %s) * 1000000 AS bigint) ORDER BY 1"
)
_SHUTDOWN_REMEDY = "stop every service and every command that uses it, and copy again"
_INCOMPLETE = "nothing was copied: the target is as empty as before; copy again"

Report = Callable[[str, int, int], None]
"""Receives what is done, how many rows of it are, and how many there are."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """The rows of a table: their number, and a sum of their hashes that does not depend on their order."""

    rows: int
    digest: int


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """What was copied.

    Attributes
    ----------
    revision : int
        Of the source, and now of the target.
    rows : mapping
        Number of rows by the name of the table.
    """

    revision: int
    rows: Mapping[str, int]


def copy_database(
    source_url: str, target_url: str, verify: Callable[[Connection], None], report: Report = lambda *_: None
) -> DatabaseCopy:
    """Copy every table, and commit at the target once what arrived there is what was read.

    The caller makes sure that no service runs. A SQLite source is locked against changes; a source on PostgreSQL is
    read in one snapshot, with changes of access held off, and compared with itself at the end, since audit rows need no
    lock that its role could hold.

    Parameters
    ----------
    verify : callable
        Receives the target's connection in its transaction, before the commit; raises if the audit is not intact.
    report : callable
        Called for each batch.

    Raises
    ------
    Conflict
        The target is not empty, the source was written meanwhile, or a row does not fit into the target.
    Unavailable
        A database cannot be used. Unless ``indeterminate`` is in ``extensions``, the target is as empty as before.
    """
    with _source(source_url) as source, _target(target_url) as target:
        before = _position(source)
        database, conn = target
        with _diagnosed(conn):
            migrate.create_schema(database, conn)
            conn.execute(tables.revision.delete())  # the migrations insert the first one
        # In the order of the foreign keys.
        copied = {table.name: _copy_table(source, conn, table, report) for table in tables.metadata.sorted_tables}
        _copy_numbering(source, conn)
        for table in tables.metadata.sorted_tables:
            if _read_content(conn, table, report) != copied[table.name]:
                raise Unavailable(f"the rows of `{table.name}` did not arrive as they were read", remedy=_INCOMPLETE)
        report("verifying the audit", 0, 0)
        with _diagnosed(conn):
            verify(conn)
            if not database.embedded:
                conn.exec_driver_sql("ANALYZE")
        if _position_now(source_url) != before:
            raise Conflict("the source was written while it was copied", remedy=_SHUTDOWN_REMEDY)
    return DatabaseCopy(before[0], {name: content.rows for name, content in copied.items()})


@contextmanager
def _source(url: str) -> Iterator[Connection]:
    """Open a transaction with one snapshot, in which nothing changes access."""
    with _connection(url) as (database, conn):
        with _diagnosed(conn):
            if database.embedded:
                conn.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                # No timeout of the transaction: between two reads the target may work for minutes.
                conn.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
                conn.exec_driver_sql(f"SET LOCAL lock_timeout = {int(_DEADLINE_SECONDS * 1000)}")
                conn.exec_driver_sql("SELECT 1 FROM revision WHERE id = 1 FOR UPDATE")
                _refuse_running(conn)
        try:
            yield conn
        finally:
            database.rollback(conn)


def _refuse_running(conn: Connection) -> None:
    hosts = list(conn.exec_driver_sql(_RUNNING_REPLICAS, (_RUNNING_SECONDS,)).scalars())
    if hosts:
        raise Conflict(
            f"a service runs on the source, on {', '.join(hosts)}",
            remedy=f"{_SHUTDOWN_REMEDY}; one that was killed counts as running for {_RUNNING_SECONDS} seconds",
        )


@contextmanager
def _target(url: str) -> Iterator[tuple[Database, Connection]]:
    """Open a transaction that is committed at the end of the block; a file has its name only then."""
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite":
        with _transaction(url) as opened:
            yield opened
        return
    with new_file(sqlite_path(parsed), "a copy of a database") as temporary:
        with _transaction(f"sqlite:///{temporary}") as opened:
            yield opened
        with closing(sqlite3.connect(temporary)) as conn:
            conn.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        check_backup(temporary)


@contextmanager
def _transaction(url: str) -> Iterator[tuple[Database, Connection]]:
    with _connection(url) as (database, conn):
        with _diagnosed(conn):
            conn.exec_driver_sql("BEGIN IMMEDIATE" if database.embedded else "BEGIN")
        try:
            yield database, conn
        except BaseException:  # re-raised: a part of a copy must not stay
            database.rollback(conn)
            raise
        _commit(database, conn)


@contextmanager
def _connection(url: str) -> Iterator[tuple[Database, Connection]]:
    database = Database(url, _DEADLINE_SECONDS)
    try:
        with translate_for_operator(database.url):
            conn = database.engine.connect()
        with conn:
            yield database, conn
    finally:
        database.dispose()


def _diagnosed(conn: Connection) -> AbstractContextManager[None]:
    """Translate errors of this database: around its own statements only, so that none is taken for the other's."""
    return translate_for_operator(conn.engine.url)


def _commit(database: Database, conn: Connection) -> None:
    try:
        database.commit(conn)
    except database.driver_error as error:
        raise Unavailable(
            f"the target's answer to the commit was lost ({type(error).__name__}): it holds the whole copy, or nothing",
            remedy="copy again: a target that is not empty has the whole copy",
            extensions={"indeterminate": True},
        ) from None


def _copy_table(source: Connection, target: Connection, table: Table, report: Report) -> TableContent:
    with _diagnosed(source):
        total = source.scalar(select(func.count()).select_from(table)) or 0
    rows = digest = 0
    for batch in _read_batches(source, table):
        try:
            with _diagnosed(target):
                target.execute(insert(table), [dict(row._mapping) for row in batch])
        except (DataError, IntegrityError) as error:
            raise Conflict(
                f"the target refuses a row of `{table.name}` ({type(error.orig).__name__})",
                remedy="run `aizen-hub audit verify` on the source: a row there is not what this version writes",
            ) from None
        rows += len(batch)
        digest += sum(map(_hash_row, batch))
        report(f"copying {table.name}", rows, total)
    return TableContent(rows, digest)


def _read_content(conn: Connection, table: Table, report: Report) -> TableContent:
    rows = digest = 0
    for batch in _read_batches(conn, table):
        rows += len(batch)
        digest += sum(map(_hash_row, batch))
        report(f"comparing {table.name}", rows, 0)
    return TableContent(rows, digest)


def _read_batches(conn: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """Yield all rows in the order of the primary key, each batch from where the former ended."""
    key = table.primary_key.columns.values()
    first = select(table).order_by(*key).limit(BATCH_ROWS)
    query = first
    while True:
        with _diagnosed(conn):
            batch = conn.execute(query).all()
        if batch:
            yield batch
        if len(batch) < BATCH_ROWS:
            return
        last = [batch[-1]._mapping[column] for column in key]
        query = first.where(tuple_(*key) > tuple_(*last, types=[column.type for column in key]))


def _hash_row(row: Row[Any]) -> int:
    text = json.dumps([_comparable(value) for value in row], sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest(), "big")


def _comparable(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"bytes": bytes(value).hex()}
    return {"at": to_microseconds(value)} if isinstance(value, datetime) else value


def _position(conn: Connection) -> tuple[int, Mapping[str, int]]:
    """Return the revision, and the last number of each audit chain."""
    audit = tables.audit.c
    with _diagnosed(conn):
        heads = conn.execute(select(audit.writer, func.max(audit.number).label("number")).group_by(audit.writer)).all()
        revision = conn.execute(select(tables.revision.c.value)).scalar_one()
    return revision, {head.writer: head.number for head in heads}


def _position_now(url: str) -> tuple[int, Mapping[str, int]]:
    with _connection(url) as (_, conn):
        return _position(conn)


def _copy_numbering(source: Connection, target: Connection) -> None:
    """Continue the ids where the source is: the id of a deleted row must never come back (T-47)."""
    for table in tables.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        last = max(_last_id(source, table), source.scalar(select(func.max(column))) or 0)
        if not last:
            continue
        if target.dialect.name == "sqlite":
            if table.dialect_options["sqlite"]["autoincrement"]:
                target.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
                target.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, last))
        elif (sequence := _sequence(target, table)) is not None:
            target.exec_driver_sql("SELECT setval(%s::regclass, %s)", (sequence, last))


def _last_id(conn: Connection, table: Table) -> int:
    """Return the last id that the database gave to a row of the table, also of a deleted one; 0 if it does not know."""
    if conn.dialect.name == "sqlite":
        query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        return int(conn.exec_driver_sql(query, (table.name,)).scalar() or 0)
    sequence = _sequence(conn, table)
    if sequence is None:
        return 0
    return int(conn.exec_driver_sql("SELECT pg_sequence_last_value(%s::regclass)", (sequence,)).scalar() or 0)


def _sequence(conn: Connection, table: Table) -> str | None:
    column = table.autoincrement_column
    if column is None:
        return None
    name = conn.exec_driver_sql("SELECT pg_get_serial_sequence(%s, %s)", (table.name, column.name)).scalar()
    return None if name is None else str(name)
