"""Fixtures with real browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.hub import HubHandle

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from tests.fixtures.browser import pages

    with pages.chromium() as browser:
        yield browser


@pytest.fixture
def person(hub: HubHandle, chromium: Any) -> Iterator[Callable[[], BrowserUser]]:
    """Return a function that opens the login page in a new browser context; no page may log an error."""
    from tests.fixtures.browser.pages import BrowserUser

    users: list[BrowserUser] = []

    def make() -> BrowserUser:
        users.append(BrowserUser(chromium, hub.url))
        users[-1].page.goto("/hub/login")
        return users[-1]

    yield make
    for user in users:
        assert user.complaints == []
        user.context.close()
