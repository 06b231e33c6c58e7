"""Migrations: they create exactly the tables, upgrade a former schema, and a wrong schema is refused."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, text

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import Settings
from aizen_hub.store import migrate, tables
from aizen_hub.store.database import Database
from aizen_hub.store.db_errors import UnusableDatabase
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.next_schema import write_next_migrations
from tests.store import store_rows
from tests.store.store_rows import TESTER


@pytest.mark.filterwarnings("ignore:autogenerate skipping", "ignore:Skipped unsupported reflection")
def test_the_migrations_create_the_tables(store: Store) -> None:
    with store.database.engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []


def test_a_file_is_named_by_its_revision_and_follows_the_one_before() -> None:
    """The head is read from the names of the files, without Alembic."""
    script = ScriptDirectory.from_config(migrate._config())
    upwards = list(script.walk_revisions())[::-1]
    assert [Path(one.path).name.partition("_")[0] for one in upwards] == [one.revision for one in upwards]
    assert [one.down_revision for one in upwards] == [None, *(one.revision for one in upwards)][:-1]
    assert [one.revision for one in upwards] == sorted(one.revision for one in upwards)
    assert migrate.head_revision() == script.get_current_head()


def test_the_schema_is_checked_without_alembic(tmp_path: Path, catalog: Catalog) -> None:
    """Importing it takes a tenth of the start of a service."""
    Store.open(Settings(data_dir=tmp_path), catalog).close()
    program = """
import sys
from pathlib import Path
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.settings import Settings
from aizen_hub.store.sql_store import Store
Store.open(Settings(data_dir=Path(sys.argv[1])), load_catalog("aizen")).close()
assert not [name for name in sys.modules if name.startswith("alembic")]
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)


def _normalized(sql: str) -> str:
    return " ".join(sql.replace('"', "").split())


def test_the_migrations_create_the_same_indexes_and_constraints(tmp_path: Path, catalog: Catalog) -> None:
    """What the comparison above does not see: SQL expressions, partial indexes, checks and AUTOINCREMENT."""
    Store.open(Settings(data_dir=tmp_path), catalog).close()
    created = Database(f"sqlite:///{tmp_path / 'created.sqlite'}")
    with created.engine.connect() as conn:
        tables.metadata.create_all(conn)
    created.dispose()
    schemas = []
    for name in ("aizen.sqlite", "created.sqlite"):
        with sqlite3.connect(tmp_path / name) as db:
            rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        db.close()
        schemas.append({(kind, name): sql for kind, name, sql in rows if name != "alembic_version"})
    migrated, expected = schemas
    assert migrated.keys() == expected.keys()
    for key, sql in expected.items():
        if key[0] == "index":
            assert _normalized(migrated[key]) == _normalized(sql)
        else:
            for word in ("AUTOINCREMENT", "CHECK", "CASCADE", "UNIQUE", "NOT NULL"):
                assert migrated[key].count(word) == sql.count(word), (key, word)
    assert sum("AUTOINCREMENT" in sql for sql in migrated.values()) > 0
    assert "CHECK (id = 1)" in migrated["table", "revision"]
    assert "coalesce(provider, '')" in migrated["index", "uq_memberships_group_id"]


@pytest.mark.proves("R5")
@pytest.mark.parametrize(
    ("revision", "message"), [("0000", "newer than"), ("9999", "newer than"), (None, "no aizen-hub schema")]
)
def test_a_wrong_schema_is_refused(settings: Settings, catalog: Catalog, revision: str | None, message: str) -> None:
    Store.open(settings, catalog).close()
    database = Database(settings.database_url)
    with database.engine.connect() as conn:
        if revision is None:
            conn.execute(text("DELETE FROM alembic_version"))
        else:
            conn.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    database.dispose()
    with pytest.raises(migrate.SchemaError, match=message):
        Store.open(settings, catalog)
    with pytest.raises(migrate.SchemaError, match=message):
        migrate.check(settings.database_url)


@pytest.mark.proves("R5")
@pytest.mark.needs("postgres")
def test_opening_a_store_never_creates_a_shared_schema(postgres_url: str, tmp_path: Path, catalog: Catalog) -> None:
    settings = Settings(data_dir=tmp_path, database=postgres_url)
    with pytest.raises(migrate.SchemaError, match="db upgrade"):
        Store.open(settings, catalog)
    assert migrate.upgrade(postgres_url) == migrate.head_revision() == migrate.check(postgres_url)
    assert migrate.upgrade(postgres_url) == migrate.head_revision()  # a second upgrade changes nothing
    Store.open(settings, catalog).close()


@pytest.mark.proves("R5")
@pytest.mark.needs("postgres")
def test_the_start_of_a_service_fills_an_empty_database_only(postgres_url: str) -> None:
    assert migrate.create_if_empty(postgres_url)
    assert migrate.check(postgres_url) == migrate.head_revision()
    assert not migrate.create_if_empty(postgres_url)


@pytest.mark.proves("R5")
@pytest.mark.needs("postgres")
def test_a_database_with_tables_of_others_is_not_filled(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE theirs (x int)")
    assert not migrate.create_if_empty(postgres_url)
    assert inspect(engine).get_table_names() == ["theirs"]
    engine.dispose()


@pytest.mark.proves("R5", "R97")
@pytest.mark.needs("postgres")
def test_a_role_that_may_not_create_tables_creates_none(postgres_url: str) -> None:
    engine, url = create_engine(postgres_url), make_url(postgres_url)
    role = f"reader_of_{url.database}"
    with engine.begin() as conn:
        conn.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        conn.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        assert not migrate.create_if_empty(url.set(username=role).render_as_string(hide_password=False))
        assert inspect(engine).get_table_names() == []
    finally:
        with engine.begin() as conn:
            conn.exec_driver_sql(f"DROP ROLE {role}")
        engine.dispose()


@pytest.mark.proves("R5")
def test_a_file_of_another_program_is_not_changed(tmp_path: Path, catalog: Catalog) -> None:
    with sqlite3.connect(tmp_path / "aizen.sqlite") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(migrate.SchemaError, match="no aizen-hub schema"):
        Store.open(Settings(data_dir=tmp_path), catalog)
    with sqlite3.connect(tmp_path / "aizen.sqlite") as db:
        assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    db.close()


@pytest.fixture
def second_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module of a made-up second migration."""
    yield write_next_migrations(tmp_path / "migrations")
    monkeypatch.undo()


@pytest.mark.proves("R5")
def test_a_former_schema_is_refused_until_it_is_upgraded(
    settings: Settings, catalog: Catalog, second_revision: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(settings, catalog)
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")
        revision = tx.revision
    store.close()
    monkeypatch.setattr(migrate, "_MIGRATIONS", second_revision.parents[1])
    assert migrate.head_revision() == "0002"
    for action in (lambda: Store.open(settings, catalog), lambda: migrate.check(settings.database_url)):
        with pytest.raises(
            migrate.SchemaError, match=r"is `0001`, this version needs `0002`: run `aizen-hub db upgrade`"
        ):
            action()
    assert migrate.upgrade(settings.database_url) == "0002" == migrate.check(settings.database_url)
    store = Store.open(settings, catalog)
    with store.read() as tx:
        assert tx.revision == revision, "an upgrade is no change of the store"
        assert tx.conn.execute(text("SELECT name, nickname FROM users")).all() == [("alice", "alice")]
        assert tx.conn.execute(text("SELECT text FROM notes")).scalars().all() == ["alice"]
    store.close()
    monkeypatch.undo()
    with pytest.raises(migrate.SchemaError, match="`0002` is newer than `0001`"):
        Store.open(settings, catalog)
    with pytest.raises(migrate.SchemaError, match="`0002` is newer than `0001`"):
        migrate.upgrade(settings.database_url)


@pytest.mark.proves("R5")
def test_a_failed_upgrade_leaves_the_former_schema(
    settings: Settings, catalog: Catalog, second_revision: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(settings, catalog).close()
    shutil.rmtree(second_revision.parents[1])
    write_next_migrations(second_revision.parents[1], " WHERE no_such_column = 1")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_MIGRATIONS", second_revision.parents[1])
        with pytest.raises(Exception, match="no_such_column"):
            migrate.upgrade(settings.database_url)
    assert migrate.check(settings.database_url) == "0001"
    store = Store.open(settings, catalog)
    with store.database.engine.connect() as conn:
        assert "notes" not in inspect(conn).get_table_names()
        assert "nickname" not in {column["name"] for column in inspect(conn).get_columns("users")}
    store.close()


@pytest.mark.proves("R5")
def test_a_running_process_does_not_use_an_upgraded_schema(
    settings: Settings, catalog: Catalog, second_revision: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older program would write rows without what the newer schema needs, which the audit would find for ever."""
    store = Store.open(settings, catalog)
    with store.read() as tx:
        revision = tx.revision
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_MIGRATIONS", second_revision.parents[1])
        assert migrate.upgrade(settings.database_url) == "0002"
    for use in (lambda: store.append_audit([]), lambda: _write(store), lambda: _read(store)):
        with pytest.raises(UnusableDatabase, match=r"upgraded to the schema `0002`.*works with `0001`") as raised:
            use()
        assert raised.value.extensions["sealed"] is True
    with store.database.engine.connect() as conn:
        assert conn.execute(text("SELECT value FROM revision")).scalar() == revision
        assert conn.execute(text("SELECT count(*) FROM users WHERE name = 'alice'")).scalar() == 0
    store.close()


@pytest.mark.proves("R5")
def test_a_process_goes_on_with_a_schema_that_serves_it(
    settings: Settings, catalog: Catalog, second_revision: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a rolling upgrade: replicas of the former version decide and write until each is restarted."""
    store = Store.open(settings, catalog)
    shutil.rmtree(second_revision.parents[1])
    write_next_migrations(second_revision.parents[1], serves_previous=True)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_MIGRATIONS", second_revision.parents[1])
        with pytest.raises(migrate.SchemaError, match="services of the former version go on meanwhile"):
            migrate.check(settings.database_url)
        assert migrate.upgrade(settings.database_url) == "0002" == migrate.check(settings.database_url)
    _write(store)
    store.close()
    with pytest.raises(migrate.SchemaError, match="`0002` is newer than `0001`"):
        migrate.check(settings.database_url)
    store = Store.open(settings, catalog)
    _read(store)
    with store.database.engine.connect() as conn:
        conn.execute(text("UPDATE revision SET schema_version = '0003,0002'"))
    with pytest.raises(UnusableDatabase, match=r"upgraded to the schema `0003`, .*works with `0001`"):
        _read(store)
    store.close()


def _write(store: Store) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")


def _read(store: Store) -> None:
    with store.read():
        pass


@pytest.mark.proves("R5")
@pytest.mark.needs("postgres")
def test_an_upgrade_waits_for_a_change_in_progress(
    migrated_url: str, tmp_path: Path, catalog: Catalog, second_revision: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(Settings(data_dir=tmp_path, database=migrated_url), catalog)
    monkeypatch.setattr(migrate, "_MIGRATIONS", second_revision.parents[1])
    with ThreadPoolExecutor(1) as pool:
        with store.write(TESTER) as tx:
            upgrading = pool.submit(migrate.upgrade, migrated_url)
            _wait_for_lock(migrated_url)
            store_rows.insert_user(tx, "alice")
        assert upgrading.result(60) == "0002"
    with pytest.raises(UnusableDatabase):
        _read(store)
    with store.database.engine.connect() as conn:
        assert conn.execute(text("SELECT nickname FROM users WHERE name = 'alice'")).scalar() == "alice"
    store.close()


def _wait_for_lock(url: str) -> None:
    import psycopg

    end = time.monotonic() + 30
    with psycopg.connect(url, autocommit=True) as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while conn.execute(query).fetchone() == (0,):
            assert time.monotonic() < end, "the upgrade did not wait"
            time.sleep(0.02)
