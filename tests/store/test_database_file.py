"""A database file that is deleted or replaced under a running process: nothing is read from it or written any more."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import Settings
from aizen_hub.store.database_file import DatabaseFile
from aizen_hub.store.db_errors import UnusableDatabase
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.sqlite import create_database_file
from tests.store import store_rows
from tests.store.store_rows import TESTER

LOG = "aizen.sqlite-wal"


@pytest.fixture
def embedded(tmp_path: Path, catalog: Catalog) -> Store:
    store = Store.open(Settings(data_dir=create_database_file(tmp_path / "data")), catalog)
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")
    return store


def read_revision(store: Store) -> int:
    with store.read() as tx:
        return tx.revision


def write_user(store: Store) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "bob")


def record_nothing(store: Store) -> None:
    store.append_audit([])


def delete_at_the_last_moment(path: Path, moved: Path) -> None:
    if path.exists():
        path.rename(moved)


def delete(path: Path, _moved: Path) -> None:
    path.unlink()


def move(path: Path, moved: Path) -> None:
    path.rename(moved)


def replace_by_copy(path: Path, moved: Path) -> None:
    path.rename(moved)
    shutil.copyfile(moved, path)


@pytest.mark.proves("T-40")
@pytest.mark.parametrize("use", [read_revision, write_user, record_nothing])
@pytest.mark.parametrize(
    ("lose", "did"), [(delete, "was deleted"), (move, "was deleted"), (replace_by_copy, "was replaced")]
)
def test_a_lost_file_is_not_used(
    embedded: Store, tmp_path: Path, lose: Callable[[Path, Path], None], did: str, use: Callable[[Store], object]
) -> None:
    lose(tmp_path / "data" / "aizen.sqlite", tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(UnusableDatabase, match=did) as raised:
            use(embedded)
        assert raised.value.extensions["sealed"] is True
        assert "db restore" in str(raised.value.remedy)
    embedded.close()


@pytest.fixture
def older_copy(embedded: Store, tmp_path: Path) -> Path:
    """A copy of the file as it was before it grew."""
    file, copy = tmp_path / "data" / "aizen.sqlite", tmp_path / "copy"
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("VACUUM INTO ?", (str(copy),))
    for number in range(200):
        with embedded.write(TESTER) as tx:
            store_rows.insert_user(tx, f"user-{number}")
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("PRAGMA wal_checkpoint(PASSIVE)")
    read_revision(embedded)
    return copy


@pytest.mark.proves("T-40")
@pytest.mark.parametrize("use", [read_revision, write_user, record_nothing])
def test_a_file_that_is_overwritten_is_not_used(
    embedded: Store, older_copy: Path, use: Callable[[Store], object]
) -> None:
    """``cp`` keeps the inode, and SQLite would go on with pages of both files."""
    file = embedded.database.path
    assert file is not None
    inode, content = file.stat().st_ino, file.read_bytes()
    shutil.copyfile(older_copy, file)
    assert file.stat().st_ino == inode
    with pytest.raises(UnusableDatabase, match="was overwritten") as raised:
        use(embedded)
    assert raised.value.extensions["sealed"] is True
    with file.open("r+b") as out:
        out.write(content)
    with pytest.raises(UnusableDatabase, match="was overwritten"):
        use(embedded)  # what was mixed meanwhile is not known
    embedded.close()


def test_a_file_that_is_being_overwritten_is_not_used(embedded: Store, older_copy: Path) -> None:
    file = embedded.database.path
    assert file is not None
    with file.open("r+b") as out:
        out.truncate()  # as ``cp`` begins
    with pytest.raises(UnusableDatabase, match="was overwritten"):
        read_revision(embedded)
    embedded.close()


def test_many_threads_see_the_file_grow(embedded: Store) -> None:
    """One that reads the header before a checkpoint and compares it afterwards must not take it for another file."""
    file, failures, stop = embedded.database.path, list[BaseException](), threading.Event()
    assert file is not None

    def read() -> None:
        while not stop.is_set():
            try:
                read_revision(embedded)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test fails with it
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(60):
            with embedded.write(TESTER) as tx:
                store_rows.insert_user(tx, f"user-{number}")
            with closing(sqlite3.connect(file)) as conn:
                conn.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        stop.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    embedded.close()


def test_closing_keeps_the_locks_of_the_process(embedded: Store) -> None:
    """Closing any descriptor of the file would end SQLite's locks in this process; another one would remove the log."""
    file = embedded.database.path
    assert file is not None
    DatabaseFile(file).close()
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('select 1 from users'); c.close()"
    subprocess.run([sys.executable, "-c", script, str(file)], check=True, timeout=60)
    assert file.with_name(LOG).exists()
    write_user(embedded)
    embedded.close()


def test_no_connection_is_opened_to_another_file(embedded: Store, tmp_path: Path) -> None:
    """SQLite would apply the former write-ahead log to it."""
    file = tmp_path / "data" / "aizen.sqlite"
    replace_by_copy(file, tmp_path / "moved")
    before = file.read_bytes()
    with embedded.database.engine.connect(), pytest.raises(UnusableDatabase):
        embedded.database.engine.connect()
    embedded.close()
    assert file.read_bytes() == before


def test_a_file_that_is_deleted_while_a_connection_is_opened_is_not_created(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, moved = tmp_path / "data" / "aizen.sqlite", tmp_path / "moved"
    with embedded.database.engine.connect():
        monkeypatch.setattr(DatabaseFile, "check", lambda _: delete_at_the_last_moment(file, moved))
        with pytest.raises(OperationalError):
            embedded.database.engine.connect()
        assert not file.exists()
        monkeypatch.undo()
        with pytest.raises(UnusableDatabase, match="was deleted"):
            read_revision(embedded)


def test_a_file_that_is_put_back_is_used_again(embedded: Store, tmp_path: Path) -> None:
    file = tmp_path / "data" / "aizen.sqlite"
    before = read_revision(embedded)
    file.rename(tmp_path / "moved")
    with pytest.raises(UnusableDatabase):
        read_revision(embedded)
    (tmp_path / "moved").rename(file)
    assert read_revision(embedded) == before
    write_user(embedded)
    embedded.close()


@pytest.mark.proves("T-40")
@pytest.mark.parametrize("replace", [False, True])
def test_a_lost_write_ahead_log_ends_the_use_of_the_database(embedded: Store, tmp_path: Path, replace: bool) -> None:
    log = tmp_path / "data" / LOG
    with embedded.database.engine.connect() as held:
        embedded.database.begin_and_read_state(held, "read")
        embedded.database.rollback(held)
        log.rename(tmp_path / "moved")
        if replace:
            log.write_bytes(b"")
        with pytest.raises(UnusableDatabase, match="write-ahead log"):
            embedded.database.begin_and_read_state(held, "read")
        embedded.database.rollback(held)
    (tmp_path / "moved").rename(log)
    with pytest.raises(UnusableDatabase, match="write-ahead log"):
        read_revision(embedded)
    embedded.close()


def test_other_connections_change_nothing(embedded: Store, tmp_path: Path) -> None:
    """What operator commands do beside the service: they open, write, merge the log and close."""
    for _ in range(3):
        with closing(sqlite3.connect(tmp_path / "data" / "aizen.sqlite")) as conn:
            conn.execute("UPDATE users SET phone = '1'")
            conn.commit()
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        read_revision(embedded)
    write_user(embedded)
    embedded.close()


def test_a_file_on_a_system_without_a_log(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    file = DatabaseFile(path)
    info: dict[object, object] = {}
    for _ in range(2):
        file.check()
        file.check_log(info)
