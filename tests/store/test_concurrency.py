"""Many writers at once: nothing is lost, and the order of commits is the order of revisions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, update

from aizen_hub.audit.integrity.chain_verifier import verify
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import make_row
from tests.store import world
from tests.store.conftest import Opener
from tests.store.world import TESTER

THREADS, EACH = 6, 12


def together(work: Callable[[int], object], count: int = THREADS) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.proves("I1", "I2", "I4", "I7")
def test_no_increment_is_lost(opened: Opener) -> None:
    stores = [opened() for _ in range(3)]
    with stores[0].write(TESTER) as tx:
        world.user(tx, "counter", display_name="0")
        start = tx.revision
    seen: list[tuple[int, int]] = []

    def count(number: int) -> None:
        store = stores[number % len(stores)]
        for _ in range(EACH):
            with store.write(TESTER) as tx:
                value = int(tx.conn.scalar(select(tables.users.c.display_name)) or 0) + 1
                tx.conn.execute(update(tables.users).values(display_name=str(value)))
                tx.change("count", {"value": value}, ["user:counter"])
                tx.audit("counted", value=value)
                mine = (tx.revision, value)
            seen.append(mine)
            store.record([make_row(TESTER, "looked", tx.now)])

    together(count)
    total = THREADS * EACH
    assert sorted(seen) == [(start + one, one) for one in range(1, total + 1)], (
        "the order of commits is that of revisions"
    )
    with stores[0].read() as tx:
        assert tx.revision == start + total
        assert tx.conn.scalar(select(tables.users.c.display_name)) == str(total)
        changes = tx.conn.execute(select(tables.changes).order_by(tables.changes.c.revision)).all()
        assert [one.revision for one in changes] == list(range(1, start + total + 1))
        recorded = set(tx.conn.scalars(select(tables.audit.c.id)))
        assert {one.audit_id for one in changes} <= recorded
        report = verify(tx.conn)
        assert report.sound, report.findings
        assert len(recorded) == report.rows


@pytest.mark.proves("I5")
def test_a_check_in_the_transaction_holds(opened: Opener) -> None:
    """Several take the last one of something at once; the check and the change are one."""
    stores = [opened() for _ in range(2)]
    for _ in range(5):
        with stores[0].write(TESTER) as tx:
            tx.conn.execute(tables.users.delete())
            for number in range(THREADS):
                world.user(tx, f"admin{number}")

        def leave(number: int) -> bool:
            with stores[number % 2].write(TESTER) as tx:
                left = list(tx.conn.scalars(select(tables.users.c.name)))
                if len(left) == 1:
                    return False
                tx.conn.execute(tables.users.delete().where(tables.users.c.name == f"admin{number}"))
                tx.change("user", {}, [f"user:admin{number}"])
                return True

        assert sorted(together(leave)) == [False] + [True] * (THREADS - 1)


def test_readers_never_wait_for_a_writer(store: Store) -> None:
    with store.write(TESTER) as tx:
        world.user(tx, "alice")
        started = time.monotonic()

        def read(_: int) -> bool:
            with store.read() as view:
                return view.rights(Identity.user("alice")).active

        assert together(read) == [False] * THREADS
        assert time.monotonic() - started < store.database.deadline_seconds


@pytest.mark.proves("R79", "R105", "R107")
def test_a_writer_that_waits_too_long_gives_up_and_later_ones_go_on(opened: Opener) -> None:
    one, other = opened(), opened()
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with one.write(TESTER) as tx:
            world.user(tx, "alice")
            holding.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    started = time.monotonic()
    for store in (other, one):
        with pytest.raises(Unavailable), store.write(TESTER):
            raise AssertionError("two writers at once")
    assert time.monotonic() - started < 4 * one.database.deadline_seconds
    done.set()
    thread.join()
    with other.write(TESTER) as tx:
        assert set(tx.conn.scalars(select(tables.users.c.name))) == {"alice"}


@pytest.mark.proves("R105")
def test_the_pool_does_not_run_dry(store: Store) -> None:
    """Failed transactions give their connections back."""
    for _ in range(40):
        with pytest.raises(ZeroDivisionError), store.write(TESTER) as tx:  # noqa: PT012
            tx.conn.execute(insert(tables.throttles).values(subject="x", failures=1, until=tx.now))
            raise ZeroDivisionError
    with store.read() as tx:
        assert tx.conn.execute(select(tables.throttles)).all() == []
