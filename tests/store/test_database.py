"""A database that is only read: nothing is created or changed, whether a service uses it or not."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from aizen_hub.settings import ConfigurationError
from aizen_hub.store.database import Database, database_url
from tests.fixtures.databases.sqlite import create_database_file

KILLED_SERVICE = """
import os, sqlite3, sys
service = sqlite3.connect(sys.argv[1], isolation_level=None)
service.execute("PRAGMA journal_mode = WAL")
service.execute("UPDATE revision SET value = 4711")
os._exit(0)  # without closing the database
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = create_database_file(tmp_path / "data") / "aizen.sqlite"
    file.chmod(0o644)
    return file


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{file}", read_only=True)
    yield database
    database.dispose()


def read_revision(database: Database) -> int:
    with database.engine.connect() as conn:
        state = database.begin_and_read_state(conn, "read")
        database.rollback(conn)
        return state.revision


def test_reading_leaves_the_folder_as_it_is(file: Path, database: Database) -> None:
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert read_revision(database) >= 0
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_writing_is_refused(database: Database) -> None:
    with database.engine.connect() as conn, pytest.raises(OperationalError, match="readonly"):
        conn.exec_driver_sql("UPDATE revision SET value = value + 1")


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none' / 'db'}", read_only=True)
    with pytest.raises(OperationalError, match="unable to open"):
        database.engine.connect()
    assert list(tmp_path.iterdir()) == []


def test_it_sees_what_a_running_service_committed(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as service:
        service.execute("PRAGMA journal_mode = WAL")
        service.execute("UPDATE revision SET value = 4711")
        assert file.with_name("aizen.sqlite-wal").exists(), "not yet in the file itself"
        database = Database(f"sqlite:///{file}", read_only=True)
        assert read_revision(database) == 4711
        service.execute("UPDATE revision SET value = 4712")
        assert read_revision(database) == 4712, "and neither waits for the other"
        database.dispose()


def test_it_sees_what_a_killed_service_committed(file: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_SERVICE, str(file)], check=True, timeout=60)
    assert file.with_name("aizen.sqlite-wal").stat().st_size > 0
    database = Database(f"sqlite:///{file}", read_only=True)
    assert read_revision(database) == 4711
    database.dispose()


def test_a_missing_driver_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aizen-hub\[postgres\]'"):
        Database("postgresql://aizen@127.0.0.1/aizen")


def test_an_address_from_a_file_may_end_with_its_line() -> None:
    """As in a variable that Kubernetes fills from a Secret."""
    assert database_url("postgresql://aizen@db.example.org/aizen\n").database == "aizen"
