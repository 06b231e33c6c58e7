"""Concurrent writers: nothing is lost, and the order of commits is the order of revisions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, update

from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from tests.fixtures.timing import within
from tests.store import store_rows
from tests.store.conftest import Opener
from tests.store.store_rows import TESTER

THREADS, EACH = 6, 12


def run_in_threads(operation: Callable[[int], object], count: int = THREADS) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(operation, range(count)))


@pytest.mark.proves("I1", "I2", "I4", "I7")
def test_no_increment_is_lost(opened: Opener) -> None:
    stores = [opened() for _ in range(3)]
    with stores[0].write(TESTER) as tx:
        store_rows.insert_user(tx, "counter", display_name="0")
        start = tx.revision
    results: list[tuple[int, int]] = []

    def count(number: int) -> None:
        store = stores[number % len(stores)]
        for _ in range(EACH):
            with store.write(TESTER) as tx:
                value = int(tx.conn.scalar(select(tables.users.c.display_name)) or 0) + 1
                tx.conn.execute(update(tables.users).values(display_name=str(value)))
                tx.record_change("count", {"value": value}, ["user:counter"])
                tx.audit("counted", value=value)
                result = (tx.revision, value)
            results.append(result)
            store.append_audit([make_audit_record(TESTER, "looked", tx.now)])

    run_in_threads(count)
    total = THREADS * EACH
    assert sorted(results) == [(start + n, n) for n in range(1, total + 1)], "the order of commits is that of revisions"
    with stores[0].read() as tx:
        assert tx.revision == start + total
        assert tx.conn.scalar(select(tables.users.c.display_name)) == str(total)
        changes = tx.conn.execute(select(tables.changes).order_by(tables.changes.c.revision)).all()
        assert [change.revision for change in changes] == list(range(1, start + total + 1))
        recorded = set(tx.conn.scalars(select(tables.audit.c.id)))
        assert {change.audit_id for change in changes} <= recorded
        report = verify_chains(tx.conn)
        assert report.is_intact, report.findings
        assert len(recorded) == report.rows


@pytest.mark.proves("I5")
def test_a_check_in_the_transaction_holds(opened: Opener) -> None:
    """Several threads remove the last holder at once; check and change are atomic."""
    stores = [opened() for _ in range(2)]
    for _ in range(5):
        with stores[0].write(TESTER) as tx:
            tx.conn.execute(tables.users.delete())
            for number in range(THREADS):
                store_rows.insert_user(tx, f"admin{number}")

        def leave(number: int) -> bool:
            with stores[number % 2].write(TESTER) as tx:
                remaining = list(tx.conn.scalars(select(tables.users.c.name)))
                if len(remaining) == 1:
                    return False
                tx.conn.execute(tables.users.delete().where(tables.users.c.name == f"admin{number}"))
                tx.record_change("user", {}, [f"user:admin{number}"])
                return True

        assert sorted(run_in_threads(leave)) == [False] + [True] * (THREADS - 1)


def test_readers_never_wait_for_a_writer(store: Store) -> None:
    with store.write(TESTER) as tx:
        store_rows.insert_user(tx, "alice")

        def read(_: int) -> bool:
            with store.read() as view:
                return view.rights(Identity.user("alice")).active

        # The writer has not ended, so a reader that waited for it would fail at its deadline.
        assert run_in_threads(read) == [False] * THREADS


@pytest.mark.proves("R79", "R105", "R107")
def test_a_writer_that_waits_too_long_fails_and_later_ones_succeed(opened: Opener) -> None:
    first, second = opened(), opened()
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with first.write(TESTER) as tx:
            store_rows.insert_user(tx, "alice")
            holding.set()
            done.wait(120)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    for store in (second, first):
        with within(30), pytest.raises(Unavailable), store.write(TESTER):
            raise AssertionError("two writers at once")
    done.set()
    thread.join()
    with second.write(TESTER) as tx:
        assert set(tx.conn.scalars(select(tables.users.c.name))) == {"alice"}


@pytest.mark.proves("R105")
def test_the_pool_is_not_exhausted(store: Store) -> None:
    """Failed transactions return their connections to the pool."""
    for _ in range(40):
        with pytest.raises(ZeroDivisionError), store.write(TESTER) as tx:  # noqa: PT012
            tx.conn.execute(insert(tables.attempt_counters).values(subject="x", failures=1, until=tx.now))
            raise ZeroDivisionError
    with store.read() as tx:
        assert tx.conn.execute(select(tables.attempt_counters)).all() == []
