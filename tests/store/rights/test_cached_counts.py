"""Kept counts: only what a new count would return, through changes of access, snapshots, rollbacks and failures."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, func, select

from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.rights import cached_counts
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction
from tests.store import store_rows
from tests.store.store_rows import TESTER

KEY = ("assignments",)


class Counter:
    """Counts the assignments, and how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def kept(self, tx: ReadTransaction) -> int:
        return tx.cached_count(KEY, lambda: self.count(tx))

    def count(self, tx: ReadTransaction) -> int:
        self.calls += 1
        return tx.conn.execute(select(func.count()).select_from(tables.assignments)).scalar_one()


def record(store: Store, *names: str) -> None:
    with store.write(TESTER) as tx:
        tx.record_change("test", {}, names)


def grant(store: Store, user: str) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user(user))


def kept(store: Store, counter: Counter) -> int:
    with store.read() as tx:
        return counter.kept(tx)


@pytest.mark.proves("R72")
def test_a_count_is_kept_until_a_change_of_access(store: Store) -> None:
    counter = Counter()
    assert [kept(store, counter), kept(store, counter), counter.calls] == [0, 0, 1]
    record(store, "session:s1", "key:k")
    record(store)
    assert [kept(store, counter), counter.calls] == [0, 1]
    grant(store, "rita")
    assert [kept(store, counter), kept(store, counter), counter.calls] == [1, 1, 2]


@pytest.mark.parametrize("name", ["user:rita", "group:crew", "role:READER", "project:p1", "*", "planet:mars"])
def test_every_other_name_ends_it(store: Store, name: str) -> None:
    counter = Counter()
    kept(store, counter)
    record(store, "session:s1", name)
    kept(store, counter)
    assert counter.calls == 2


def test_missing_and_too_many_records_end_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    kept(store, counter)
    record(store, "session:s1")
    with store.write(TESTER) as tx:
        newest = select(func.max(tables.changes.c.revision)).scalar_subquery()
        tx.conn.execute(delete(tables.changes).where(tables.changes.c.revision == newest))
    kept(store, counter)
    assert counter.calls == 2
    monkeypatch.setattr("aizen_hub.store.rights.changed_names.MAX_CHANGES", 1)
    record(store, "session:s1")
    record(store, "session:s2")
    kept(store, counter)
    assert counter.calls == 3


def test_an_older_snapshot_counts_for_itself_and_keeps_nothing(store: Store) -> None:
    counter = Counter()
    with store.read() as old:
        assert counter.count(old) == 0
        grant(store, "rita")
        assert kept(store, counter) == 1
        assert counter.kept(old) == 0
    assert [kept(store, counter), counter.calls] == [1, 3]


def test_a_write_transaction_sees_its_own_changes_and_leaves_nothing(store: Store) -> None:
    counter = Counter()
    kept(store, counter)

    def grant_and_fail() -> None:
        with store.write(TESTER) as tx:
            store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user("rita"))
            assert counter.kept(tx) == 1
            raise LookupError

    with pytest.raises(LookupError):
        grant_and_fail()
    assert kept(store, counter) == 0


def test_a_rollback_of_the_database_drops_it_even_while_it_is_counted(store: Store) -> None:
    counter = Counter()
    kept(store, counter)
    store.cache.clear()
    kept(store, counter)
    assert counter.calls == 2
    store.cache.clear()
    with store.read() as tx:
        assert tx.cached_count(KEY, lambda: store.cache.clear() or 7) == 7  # type: ignore[func-returns-value]
    assert kept(store, counter) == 0


def test_their_number_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_counts, "MAX_ENTRIES", 2)
    counts = []
    with store.read() as tx:
        for key in ("a", "b", "a", "c", "a", "b"):
            tx.cached_count((key,), lambda key=key: counts.append(key))  # type: ignore[misc]
    assert counts == ["a", "b", "c", "b"]
