"""A service with a hub and users, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.conftest import Driver, populate
from tests.service.panel.window import FakeHub, Window, start


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    yield hub
    hub.server.stop()
    await hub.server.close_all_connections()


@pytest.fixture
async def hub_service(tmp_path: Path, hub: FakeHub) -> AsyncIterator[Driver]:
    driver = await start(tmp_path, hub)
    populate(driver.context)
    yield driver
    driver.close()
    await driver.server.stop()


@pytest.fixture
def window(hub_service: Driver, hub: FakeHub) -> Window:
    return Window(hub_service, hub)
