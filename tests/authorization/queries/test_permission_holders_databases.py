"""Holders of a permission: the same pages on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from aizen_hub.authorization.queries import permission_holders as module
from aizen_hub.authorization.queries.permission_holders import holders_of
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.store.sql_store import Store
from tests.store import store_rows
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.store_rows import READ, TESTER

NAMES = ("a_a", "a-b", "ab", "a.b", "aa", "b", "\u00e4b", "zb", "\u4e2d")


@pytest.mark.proves("R80", "R109")
def test_pages_are_complete_with_any_collation_of_the_database(
    store: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_project(tx, "p1")
        crew, locked = store_rows.insert_group(tx, "crew"), store_rows.insert_group(tx, "locked")
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", crew)
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", locked)
        store_rows.insert_lock(tx, "identity", str(locked))
        for name in NAMES:
            store_rows.insert_assignment(tx, "PROJECT_READER", "p1", store_rows.insert_user(tx, name))
            store_rows.insert_membership(tx, store_rows.insert_user(tx, f"{name}2"), crew)
            store_rows.insert_membership(tx, store_rows.insert_user(tx, f"{name}3"), locked)
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    names: list[str] = []
    after: str | None = ""
    with store.read() as tx:
        for _ in range(20):
            page = holders_of(tx, READ, "p1", IdentityKind.USER, after=after or "", limit=3)
            names += [holder.identity.name for holder in page.holders]
            after = page.after
            if after is None:
                break
    assert after is None
    assert names == sorted([*NAMES, *(f"{name}2" for name in NAMES)])
