"""A copy of a database: every table, on SQLite and PostgreSQL, and nothing where it breaks off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, Connection, Float, LargeBinary, Table, inspect, select
from sqlalchemy.types import BigInteger, Integer, String

from aizen_hub.problems import Conflict, Unavailable
from aizen_hub.store import database_copy, migrate, tables
from aizen_hub.store.database import Database
from aizen_hub.store.database_copy import copy_database
from aizen_hub.store.timestamps import UtcDateTime

pytestmark = pytest.mark.needs("postgres")
ROWS = 3
_START = datetime(2020, 1, 31, 12, tzinfo=UTC)
Urls = tuple[str, str]


@contextmanager
def connection(url: str) -> Iterator[Connection]:
    database = Database(url)
    try:
        with database.engine.connect() as conn:
            yield conn
    finally:
        database.dispose()


@pytest.fixture(params=["to-postgresql", "to-sqlite"])
def urls(request: pytest.FixtureRequest, tmp_path: Path, migrated_url: str, postgres_url: str) -> Urls:
    """A source that has the schema, and an empty target."""
    file = f"sqlite:///{tmp_path / 'aizen.sqlite'}"
    if request.param == "to-sqlite":
        return migrated_url, file
    migrate.upgrade(file)
    return file, postgres_url


def made_value(column: Column[Any], number: int) -> Any:
    """Return a value of the column's type that no other row has."""
    if column.foreign_keys:
        reference = next(iter(column.foreign_keys)).column
        return made_value(reference, number)
    match column.type:
        case UtcDateTime():
            return _START + timedelta(microseconds=number)
        case JSON():
            return {"ü": [number, None, 0.1, "\U0001f600"], "a": True}
        case Boolean():
            return number % 2 == 0
        case Float():
            return number + 0.1
        case LargeBinary():
            return bytes([0, 255, number])
        case BigInteger() | Integer():
            return number
        case String():
            return f"{number}-é'\\"
    raise AssertionError(f"no value for the type of {column}")


def fill(conn: Connection) -> None:
    """Give every table of the schema rows; in the last of them everything that may be NULL is."""
    for table in tables.metadata.sorted_tables:
        if table is tables.revision:
            conn.execute(table.update().values(value=77, catalog_hash="c" * 64, not_before=_START))
            continue
        for number in range(1, ROWS + 1):
            row = {column.name: made_value(column, number) for column in table.columns}
            if number == ROWS:
                row |= {column.name: None for column in table.columns if column.nullable}
            conn.execute(table.insert().values(row))


def content(conn: Connection) -> dict[str, list[Any]]:
    return {table.name: sorted(map(repr, conn.execute(select(table)).all())) for table in tables.metadata.sorted_tables}


def nothing(_conn: Connection) -> None:
    return None


def is_empty(url: str) -> bool:
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return [file.name for file in path.parent.iterdir() if "sqlite" in file.name] == []
    with connection(url) as conn:
        return inspect(conn).get_table_names() == []


@pytest.mark.proves("R5", "T-47")
def test_every_table_of_the_schema_arrives(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are those of the schema, so that a new one cannot be forgotten; several batches each."""
    monkeypatch.setattr(database_copy, "BATCH_ROWS", 2)
    source, target = urls
    with connection(source) as conn:
        fill(conn)
        wanted = content(conn)
    result = copy_database(source, target, nothing)
    with connection(target) as conn:
        assert content(conn) == wanted
        assert set(inspect(conn).get_table_names()) == {*tables.metadata.tables, "alembic_version"}
    assert result.revision == 77
    assert result.rows == {name: len(rows) for name, rows in wanted.items()}
    assert all(wanted.values())
    migrate.check(target)
    with pytest.raises(Conflict, match=r"not empty|exists already"):
        copy_database(source, target, nothing)
    with connection(target) as conn:
        assert content(conn) == wanted


NEVER_REUSED = [table for table in tables.metadata.sorted_tables if table.dialect_options["sqlite"]["autoincrement"]]


@pytest.mark.proves("T-47")
def test_ids_of_deleted_rows_do_not_come_back(urls: Urls) -> None:
    source, target = urls
    assert NEVER_REUSED
    with connection(source) as conn:
        for table in NEVER_REUSED:
            for number in range(1, 4):
                conn.execute(table.insert().values(_without_id(table, number)))
            conn.execute(table.delete().where(table.c.id > 1))
    copy_database(source, target, nothing)
    with connection(target) as conn:
        for table in NEVER_REUSED:
            new = conn.execute(table.insert().values(_without_id(table, 9))).inserted_primary_key
            assert new is not None
            assert new[0] == 4, table.name


def _without_id(table: Table, number: int) -> dict[str, Any]:
    return {column.name: made_value(column, number) for column in table.columns if column.name != "id"}


class BrokenOffError(Exception):
    pass


def test_a_copy_that_breaks_off_leaves_nothing(urls: Urls) -> None:
    source, target = urls
    with connection(source) as conn:
        fill(conn)

    def break_off(_conn: Connection) -> None:
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        copy_database(source, target, break_off)
    assert is_empty(target)
    copy_database(source, target, nothing)  # and can be repeated


def test_what_did_not_arrive_is_noticed(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = urls
    with connection(source) as conn:
        fill(conn)
    numbering = database_copy._copy_numbering

    def lose(read: Connection, written: Connection) -> None:
        numbering(read, written)
        written.execute(tables.jobs.update().values(command="another"))

    monkeypatch.setattr(database_copy, "_copy_numbering", lose)
    with pytest.raises(Unavailable, match="`jobs` did not arrive"):
        copy_database(source, target, nothing)


def test_nothing_changes_access_meanwhile(urls: Urls) -> None:
    source, target = urls

    def change(_conn: Connection) -> None:
        database = Database(source, 0.2)
        with closing(database.engine.raw_connection()) as other:
            cursor = other.cursor()
            if not database.embedded:
                cursor.execute("SET lock_timeout = 200")
            with pytest.raises(database.driver_error, match="lock"):
                cursor.execute("UPDATE revision SET value = 5")
        database.dispose()

    copy_database(source, target, change)


def test_audit_rows_written_meanwhile_refuse_the_copy(migrated_url: str, tmp_path: Path) -> None:
    """On PostgreSQL a decision takes no lock that the copy could hold."""
    target = f"sqlite:///{tmp_path / 'copy.sqlite'}"

    def decide(_conn: Connection) -> None:
        with connection(migrated_url) as other:
            other.execute(
                tables.audit.insert().values({column.name: made_value(column, 1) for column in tables.audit.columns})
            )

    with pytest.raises(Conflict, match="was written while it was copied"):
        copy_database(migrated_url, target, decide)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "refused"), [(10, True), (60, False)])
def test_a_running_replica_refuses_the_copy(migrated_url: str, tmp_path: Path, seconds: int, refused: bool) -> None:
    with connection(migrated_url) as conn:
        row = {column.name: made_value(column, 1) for column in tables.replicas.columns}
        seen = datetime.now(UTC) - timedelta(seconds=seconds)
        conn.execute(tables.replicas.insert().values(row | {"host": "node-7", "seen": seen}))
    copy: Callable[[], Any] = lambda: copy_database(migrated_url, f"sqlite:///{tmp_path / 'copy.sqlite'}", nothing)  # noqa: E731
    if refused:
        with pytest.raises(Conflict, match="a service runs on the source, on node-7"):
            copy()
    else:
        copy()


def test_errors_name_the_database_that_failed(urls: Urls, tmp_path: Path) -> None:
    source, _ = urls
    with pytest.raises(Unavailable, match="accepts connections") as raised:
        copy_database(source, "postgresql://aizen:not-shown@127.0.0.1:1/aizen", nothing)
    assert "not-shown" not in str(raised.value)
    with pytest.raises(Unavailable, match="cannot be written"):
        copy_database(source, f"sqlite:///{tmp_path / 'missing' / 'copy.sqlite'}", nothing)


def test_a_row_that_does_not_fit_is_named(tmp_path: Path, postgres_url: str) -> None:
    """SQLite keeps texts of any length; the message has the table, and nothing of the row."""
    source = f"sqlite:///{tmp_path / 'aizen.sqlite'}"
    migrate.upgrade(source)
    with connection(source) as conn:
        row = {column.name: made_value(column, 1) for column in tables.jobs.columns}
        conn.execute(tables.jobs.insert().values(row | {"user": "private" * 100}))
    with pytest.raises(Conflict, match="refuses a row of `jobs`") as raised:
        copy_database(source, postgres_url, nothing)
    assert "private" not in str(raised.value)
    assert is_empty(postgres_url)
