"""Who holds a permission: the same pages on either database."""

from __future__ import annotations

import pytest

from aizen_hub.authorization.queries import permission_holders as module
from aizen_hub.authorization.queries.permission_holders import able
from aizen_hub.rbac.identity import Kind
from aizen_hub.store.store import Store
from tests.store import world
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.world import READ, TESTER

NAMES = ("a_a", "a-b", "ab", "a.b", "aa", "b", "\u00e4b", "zb", "\u4e2d")


@pytest.mark.proves("R80", "R109")
def test_pages_meet_whatever_the_language_of_the_database(
    store: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with store.write(TESTER) as tx:
        world.project(tx, "p1")
        crew, closed = world.group(tx, "crew"), world.group(tx, "closed")
        world.grant(tx, "PROJECT_READER", "p1", crew)
        world.grant(tx, "PROJECT_READER", "p1", closed)
        world.lock(tx, "identity", str(closed))
        for name in NAMES:
            world.grant(tx, "PROJECT_READER", "p1", world.user(tx, name))
            world.join(tx, world.user(tx, f"{name}2"), crew)
            world.join(tx, world.user(tx, f"{name}3"), closed)
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    found: list[str] = []
    after: str | None = ""
    with store.read() as tx:
        for _ in range(20):
            page = able(tx, READ, "p1", Kind.USER, after=after or "", limit=3)
            found += [one.identity.name for one in page.found]
            after = page.after
            if after is None:
                break
    assert after is None
    assert found == sorted([*NAMES, *(f"{name}2" for name in NAMES)])
