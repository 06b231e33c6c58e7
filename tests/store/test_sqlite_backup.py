"""Backups of an embedded database: whole while others write, private, and never over a file."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.problems import Conflict, Unavailable
from aizen_hub.settings import Settings
from aizen_hub.store import sqlite_backup
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.sqlite import create_database_file
from tests.store import store_rows
from tests.store.store_rows import TESTER


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return create_database_file(tmp_path / "data") / "aizen.sqlite"


def count_users(path: Path) -> tuple[int, int]:
    """Return the number of users and the revision."""
    with closing(sqlite3.connect(path)) as conn:
        users = conn.execute("SELECT count(*) FROM users WHERE name LIKE 'u%'").fetchone()[0]
        return users, conn.execute("SELECT value FROM revision").fetchone()[0]


def test_a_backup_has_the_rows_of_the_write_ahead_log_and_one_snapshot(
    database: Path, tmp_path: Path, catalog: Catalog
) -> None:
    """Each change is one user and one revision, so that a torn copy has unequal numbers."""
    store = Store.open(Settings(data_dir=database.parent), catalog)
    first = sqlite_backup.check_backup(_backed_up(database, tmp_path / "before"))
    done, written = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set() and number < 5_000:
            with store.write(TESTER) as tx:
                store_rows.insert_user(tx, f"u{number}")
            number += 1
            written.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert written.wait(30)
        for number in range(5):
            file = tmp_path / f"backup-{number}"
            revision = sqlite_backup.back_up(database, file)
            users, copied = count_users(file)
            assert (revision, users) == (copied, copied - first)
            assert file.stat().st_mode & 0o777 == 0o600
    finally:
        done.set()
        thread.join()
        store.close()
    assert count_users(tmp_path / "backup-0")[0] >= 1
    assert {path.name for path in tmp_path.iterdir()} == {"data", "before", *(f"backup-{n}" for n in range(5))}


def _backed_up(database: Path, file: Path) -> Path:
    sqlite_backup.back_up(database, file)
    return file


def test_a_plain_copy_would_lose_rows(database: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Why the command exists: the newest rows are in the log beside the file."""
    store = Store.open(Settings(data_dir=database.parent), catalog)
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "u1")
    (tmp_path / "copy").write_bytes(database.read_bytes())
    sqlite_backup.back_up(database, tmp_path / "backup")
    assert count_users(tmp_path / "copy")[0] == 0
    assert count_users(tmp_path / "backup")[0] == 1
    store.close()


def test_an_existing_file_is_not_replaced(database: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(Conflict, match="exists already"):
        sqlite_backup.back_up(database, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "precious"


@pytest.mark.parametrize("target", ["no-such-folder/backup", "data/aizen.sqlite/backup"])
def test_where_it_cannot_be_written(database: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        sqlite_backup.back_up(database, tmp_path / target)


def _cut(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])


def _overwrite(backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    backup.write_bytes(content)


def _write_text(backup: Path) -> None:
    backup.write_text("not a database " * 100)


def _write_other_database(backup: Path) -> None:
    backup.unlink()
    with closing(sqlite3.connect(backup)) as conn:
        conn.execute("CREATE TABLE theirs (x)")


@pytest.mark.parametrize("damage", [_cut, _overwrite, _write_text, _write_other_database])
def test_a_damaged_backup_changes_nothing(database: Path, tmp_path: Path, damage: object) -> None:
    backup = _backed_up(database, tmp_path / "backup")
    assert callable(damage)
    damage(backup)
    before = database.read_bytes()
    with pytest.raises(Unavailable, match=r"damaged|failed"):
        sqlite_backup.restore(backup, database)
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == ["aizen.sqlite"]


def test_a_restore_keeps_the_former_database_with_its_log(database: Path, tmp_path: Path, catalog: Catalog) -> None:
    settings = Settings(data_dir=database.parent)
    store = Store.open(settings, catalog)
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "u1")
    store.close()
    backup = _backed_up(database, tmp_path / "backup")
    holder = sqlite3.connect(database)  # as a process that was killed: the log stays
    holder.execute("UPDATE revision SET value = value + 10")
    holder.commit()
    assert database.with_name("aizen.sqlite-wal").stat().st_size > 0
    revision, kept = sqlite_backup.restore(backup, database)
    holder.close()
    assert kept is not None
    assert count_users(kept) == (1, revision + 10)
    assert count_users(database) == (1, revision)
    assert database.stat().st_mode & 0o777 == 0o600
    store = Store.open(settings, catalog)
    with store.read() as tx:
        assert tx.revision == revision
    store.close()


def test_a_restore_where_there_is_no_database(database: Path, tmp_path: Path) -> None:
    backup = _backed_up(database, tmp_path / "backup")
    revision, kept = sqlite_backup.restore(backup, tmp_path / "new" / "aizen.sqlite")
    assert kept is None
    assert count_users(tmp_path / "new" / "aizen.sqlite") == (0, revision)
