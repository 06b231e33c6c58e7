"""Fixtures of the store tests, each on a real SQLite file and on a real PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import ServiceSettings, Settings
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.sqlite import create_database_file
from tests.store import store_rows

Opener = Callable[..., Store]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return store_rows.catalog()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with a database that has the schema."""
    service = ServiceSettings(deadline_seconds=3)
    if request.param == "sqlite":
        return Settings(data_dir=create_database_file(tmp_path / "data"), service=service)
    url = request.getfixturevalue("migrated_url")
    return Settings(data_dir=tmp_path / "data", database=url, service=service)


@pytest.fixture
def opened(settings: Settings, catalog: Catalog) -> Iterator[Opener]:
    """Return a function that opens another store on the same database, like another replica."""
    stores: list[Store] = []

    def open_store(**changed: Any) -> Store:
        stores.append(Store.open(settings.model_copy(update=changed), catalog))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Opener) -> Store:
    return opened()
