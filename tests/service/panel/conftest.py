"""A service that a hub started, with people, and a window at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.conftest import Driver, populate
from tests.service.panel.window import Hub, Window, start


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    found = Hub()
    yield found
    found.server.stop()
    await found.server.close_all_connections()


@pytest.fixture
async def whole(tmp_path: Path, hub: Hub) -> AsyncIterator[Driver]:
    driver = await start(tmp_path, hub)
    populate(driver.house)
    yield driver
    driver.close()
    await driver.server.stop()


@pytest.fixture
def window(whole: Driver, hub: Hub) -> Window:
    return Window(whole, hub)
