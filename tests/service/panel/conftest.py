"""A service with a hub and users, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.browser.panel import PanelBrowser, PanelService, running_panel
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


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[PanelService]:
    """A panel for all tests of a module, which may define ``seed(tx)`` for its own objects."""
    with running_panel(tmp_path_factory.mktemp("panel"), getattr(request.module, "seed", None)) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from tests.fixtures.browser import pages

    with pages.chromium() as browser:
        yield browser


@pytest.fixture
def browser(panel: PanelService, chromium: Any) -> Iterator[PanelBrowser]:
    """Chromium at that panel; tests that use it are marked ``needs("browser", "axe")``."""
    opened = PanelBrowser(chromium, panel)
    yield opened
    opened.close()
