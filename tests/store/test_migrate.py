"""Migrations: they create exactly the tables, upgrade a former schema, and a wrong schema is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import Settings
from aizen_hub.store import migrate, tables
from aizen_hub.store.database import Database
from aizen_hub.store.sql_store import Store
from tests.store import store_rows
from tests.store.store_rows import TESTER

SECOND_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", sa.Text()))
    op.add_column("users", sa.Column("nickname", sa.String(length=20)))
    op.execute("UPDATE users SET nickname = name")
    op.execute("INSERT INTO notes (id, text) SELECT id, name FROM users{broken}")
"""


@pytest.mark.filterwarnings("ignore:autogenerate skipping", "ignore:Skipped unsupported reflection")
def test_the_migrations_create_the_tables(store: Store) -> None:
    with store.database.engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []


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
    """Migrations with a made-up second revision, as a later version of the program would have."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate._MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "versions" / "0002_notes.py"
    path.write_text(SECOND_REVISION.replace("{broken}", ""))
    yield path
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
    second_revision.write_text(SECOND_REVISION.replace("{broken}", " WHERE no_such_column = 1"))
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
