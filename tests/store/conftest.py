"""Each test of the store runs on a real SQLite file and on a real PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import ServiceSettings, Settings
from aizen_hub.store.store import Store
from tests.fixtures.sqlite import lay_down
from tests.store.world import catalog as load

Opener = Callable[..., Store]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a database with its schema."""
    service = ServiceSettings(deadline_seconds=3)
    if request.param == "sqlite":
        return Settings(data_dir=lay_down(tmp_path / "data"), service=service)
    url = request.getfixturevalue("migrated_url")
    return Settings(data_dir=tmp_path / "data", database=url, service=service)


@pytest.fixture
def opened(settings: Settings, catalog: Catalog) -> Iterator[Opener]:
    """Open the database as often as a test likes, as several replicas would."""
    stores: list[Store] = []

    def open_one(**changed: Any) -> Store:
        stores.append(Store.open(settings.model_copy(update=changed), catalog))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Opener) -> Store:
    return opened()
