"""Backups of PostgreSQL by its own programs."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.problems import Conflict, Unavailable
from aizen_hub.settings import Settings
from aizen_hub.store import postgres_backup
from aizen_hub.store.sql_store import Store
from tests.conftest import SEARCH_PATH
from tests.store import store_rows
from tests.store.store_rows import TESTER

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", SEARCH_PATH)


def test_a_dump_is_private_and_can_be_restored(
    migrated_url: str, postgres_url: str, tmp_path: Path, catalog: Catalog
) -> None:
    store = Store.open(Settings(data_dir=tmp_path / "data", database=migrated_url), catalog)
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")
        revision = tx.revision
    backup = tmp_path / "backup"
    postgres_backup.back_up(migrated_url, backup)
    assert backup.stat().st_mode & 0o777 == 0o600
    store.close()
    with pytest.raises(Conflict, match="exists already"):
        postgres_backup.back_up(migrated_url, backup)
    with pytest.raises(Conflict, match="not empty"):
        postgres_backup.restore(migrated_url, backup)
    postgres_backup.restore(postgres_url, backup)
    store = Store.open(Settings(data_dir=tmp_path / "data", database=postgres_url), catalog)
    with store.read() as tx:
        assert tx.revision == revision
        assert "alice" in [row.name for row in tx.conn.exec_driver_sql("SELECT name FROM users")]
    store.close()


@pytest.mark.proves("T-40")
def test_a_backup_leaves_checkpoints_out(migrated_url: str, postgres_url: str, tmp_path: Path) -> None:
    """A restore would bring back older ones, which would not tell what the backup lacks."""
    with psycopg.connect(migrated_url, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA aizen_checkpoints")
        conn.execute("CREATE TABLE aizen_checkpoints.checkpoints (position bigint, line text)")
    postgres_backup.back_up(migrated_url, tmp_path / "backup")
    postgres_backup.restore(postgres_url, tmp_path / "backup")
    with psycopg.connect(postgres_url) as conn:
        assert conn.execute("SELECT to_regnamespace('aizen_checkpoints')").fetchone() == (None,)
        assert conn.execute("SELECT count(*) FROM users").fetchone() is not None


def test_a_failed_restore_leaves_an_empty_database(postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("not a dump")
    with pytest.raises(Unavailable, match="pg_restore failed"):
        postgres_backup.restore(postgres_url, tmp_path / "backup")
    with psycopg.connect(postgres_url) as conn:
        assert conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_errors_are_sentences_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = "postgresql://aizen:not-shown@127.0.0.1:1/aizen"
    with pytest.raises(Unavailable, match="pg_dump failed") as raised:
        postgres_backup.back_up(away, tmp_path / "backup")
    assert "not-shown" not in raised.value.detail
    with pytest.raises(Unavailable, match="does not answer"):
        postgres_backup.restore(away, tmp_path / "backup")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(Unavailable, match="not on the search path"):
        postgres_backup.back_up(away, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []
