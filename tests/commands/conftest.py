from __future__ import annotations

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog("aizen")
