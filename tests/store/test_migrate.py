"""The schema is made by migrations, equals the tables, and a wrong one is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import Settings
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.store.database import Database
from aizen_hub.store.store import Store


@pytest.mark.filterwarnings("ignore:autogenerate skipping", "ignore:Skipped unsupported reflection")
def test_the_migrations_make_the_tables(store: Store) -> None:
    with store.database.engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []


def test_what_the_comparison_cannot_see_is_there(tmp_path: Path, catalog: Catalog) -> None:
    Store.open(Settings(data_dir=tmp_path), catalog).close()
    with sqlite3.connect(tmp_path / "aizen.sqlite") as db:
        sql = "\n".join(row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    db.close()
    never_again = {
        name for name, table in tables.metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]
    }
    assert never_again
    assert sql.count("AUTOINCREMENT") == len(never_again)
    assert "CHECK (id = 1)" in sql
    assert "coalesce(provider, '')" in sql


@pytest.mark.proves("R5")
@pytest.mark.parametrize(
    ("found", "words"), [("0000", "newer than"), ("9999", "newer than"), (None, "no schema of ours")]
)
def test_a_wrong_schema_is_refused(settings: Settings, catalog: Catalog, found: str | None, words: str) -> None:
    Store.open(settings, catalog).close()
    database = Database(settings.database_url)
    with database.engine.connect() as conn:
        if found is None:
            conn.execute(text("DELETE FROM alembic_version"))
        else:
            conn.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    database.dispose()
    with pytest.raises(schema.SchemaError, match=words):
        Store.open(settings, catalog)
    with pytest.raises(schema.SchemaError, match=words):
        schema.check(settings.database_url)


@pytest.mark.proves("R5")
@pytest.mark.needs("postgres")
def test_a_shared_database_is_never_made_by_starting(postgres_url: str, tmp_path: Path, catalog: Catalog) -> None:
    settings = Settings(data_dir=tmp_path, database=postgres_url)
    with pytest.raises(schema.SchemaError, match="db upgrade"):
        Store.open(settings, catalog)
    assert schema.upgrade(postgres_url) == schema.head() == schema.check(postgres_url)
    assert schema.upgrade(postgres_url) == schema.head()  # again changes nothing
    Store.open(settings, catalog).close()


@pytest.mark.proves("R5")
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, catalog: Catalog) -> None:
    with sqlite3.connect(tmp_path / "aizen.sqlite") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(schema.SchemaError, match="no schema of ours"):
        Store.open(Settings(data_dir=tmp_path), catalog)
    with sqlite3.connect(tmp_path / "aizen.sqlite") as db:
        assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    db.close()
