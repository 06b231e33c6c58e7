"""People at real browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.hub import HubHandle

if TYPE_CHECKING:
    from tests.fixtures.pages import Person


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from tests.fixtures import pages

    with pages.chromium() as browser:
        yield browser


@pytest.fixture
def person(hub: HubHandle, chromium: Any) -> Iterator[Callable[[], Person]]:
    """People at the login page, each in a browser of their own, of which no page may complain about anything."""
    from tests.fixtures.pages import Person

    made: list[Person] = []

    def make() -> Person:
        made.append(Person(chromium, hub.url))
        made[-1].page.goto("/hub/login")
        return made[-1]

    yield make
    for one in made:
        assert one.complaints == []
        one.context.close()
