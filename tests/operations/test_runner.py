"""The life of an operation: it succeeds, fails, is cancelled or interrupted, and each end is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest
from sqlalchemy import update

from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.operations import records
from aizen_hub.operations.control import OperationControl
from aizen_hub.operations.operation import Effect, Operation, OperationState
from aizen_hub.operations.runner import MAX_WAITING, THREADS, OperationRunner
from aizen_hub.problems import Denied, Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.wording import Wording
from tests.operations.conftest import ADA, KIND

RunnerFor = Callable[..., OperationRunner]
SECONDS = 60.0


class Started(NamedTuple):
    """An operation, and the end of its thread."""

    id: str
    future: Future[None]


def start(store: Store, runner: OperationRunner, actor: Actor = ADA, arguments: Any = None) -> Started:
    with store.write(actor) as tx:
        operation = runner.create(tx, KIND, about="a test")
    return Started(operation.id, runner.submit(operation, actor, arguments))


def ended(store: Store, started: Started) -> Operation:
    """Wait for the thread of an operation, and return it as it ended."""
    started.future.result(SECONDS)
    with store.read() as tx:
        return records.get_operation(tx, started.id)


def audited(store: Store, event: str) -> list[Any]:
    with store.read() as tx:
        return search_newest(tx.conn, AuditFilter(event=event), 10)


def test_the_result_of_the_work_is_the_result(store: Store, runner_for: RunnerFor) -> None:
    runner = runner_for(lambda control, arguments: {"doubled": 2 * arguments})
    operation = ended(store, start(store, runner, arguments=21))
    assert (operation.state, operation.result, operation.problem) == (OperationState.SUCCEEDED, {"doubled": 42}, None)
    assert operation.ended is not None
    (started,), (finished,) = audited(store, "operation.started"), audited(store, "operation.ended")
    assert (started["identity"], started["details"]["about"]) == ("user:ada", "a test")
    assert (finished["identity"], finished["details"]["state"]) == ("user:ada", "succeeded")


def test_progress_is_stored_while_it_works(store: Store, runner_for: RunnerFor) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def work(control: OperationControl, arguments: Any) -> Mapping[str, Any]:
        control.report("counting", 3, 10)
        control.write(lambda tx: None)
        reached.set()
        assert go_on.wait(SECONDS)
        return {}

    runner = runner_for(work)
    operation = start(store, runner)
    assert reached.wait(SECONDS)
    with store.read() as tx:
        running = records.get_operation(tx, operation.id)
    assert running.state is OperationState.RUNNING
    assert running.progress.to_json() == {"phase": "counting", "done": 3, "total": 10}
    go_on.set()
    assert ended(store, operation).state is OperationState.SUCCEEDED


def test_a_problem_of_the_work_is_the_problem_with_a_remedy_for_its_channel(
    store: Store, runner_for: RunnerFor
) -> None:
    def work(control: OperationControl, arguments: Any) -> Mapping[str, Any]:
        raise Denied("this is not yours", remedy=Wording("`{list_users}`", command_line="`aizen-hub x`", web="a page"))

    runner = runner_for(work)
    for channel, remedy in ((Channel.CLI, "`aizen-hub x`"), (Channel.PANEL, "a page")):
        operation = ended(store, start(store, runner, Actor(ADA.identity, channel)))
        assert operation.state is OperationState.FAILED
        assert operation.problem is not None
        assert (operation.problem["status"], operation.problem["remedy"]) == (403, remedy)
    assert audited(store, "operation.ended")[0]["reason"] == "this is not yours"


def test_an_unexpected_error_says_nothing_of_itself(
    store: Store, runner_for: RunnerFor, caplog: pytest.LogCaptureFixture
) -> None:
    def work(control: OperationControl, arguments: Any) -> Mapping[str, Any]:
        raise ZeroDivisionError("secret detail")

    runner = runner_for(work)
    operation = ended(store, start(store, runner))
    assert operation.state is OperationState.FAILED
    assert "secret" not in str(operation.problem)
    assert "operation failed" in caplog.text


class TestCancellation:
    def work(self, control: OperationControl, arguments: Any) -> Mapping[str, Any]:
        arguments.set()
        control.write(lambda tx: None, effect=Effect.STAGED)
        while True:
            control.write(lambda tx: None)

    def test_it_ends_at_the_next_step_and_discards(self, store: Store, runner_for: RunnerFor) -> None:
        reached, discarded = threading.Event(), list[Effect]()
        runner = runner_for(self.work, discard=lambda control: discarded.append(control.operation.effect))
        operation = start(store, runner, arguments=reached)
        assert reached.wait(SECONDS)
        with store.write(ADA) as tx:
            records.request_cancellation(tx, operation.id)
        runner.note_cancellation(operation.id)
        cancelled = ended(store, operation)
        assert (cancelled.state, cancelled.cancelled_by) == (OperationState.CANCELLED, ADA.identity)
        assert cancelled.problem is not None
        assert cancelled.problem["detail"] == "the operation was cancelled, and nothing was changed"
        assert discarded in ([Effect.STAGED], [Effect.NONE])
        assert audited(store, "operation.cancelled")[0]["identity"] == "user:ada"

    def test_it_is_seen_without_a_note_too(self, store: Store, runner_for: RunnerFor) -> None:
        reached = threading.Event()
        runner = runner_for(self.work)
        operation = start(store, runner, arguments=reached)
        assert reached.wait(SECONDS)
        with store.write(ADA) as tx:  # as on another replica
            records.request_cancellation(tx, operation.id)
        assert ended(store, operation).state is OperationState.CANCELLED


class TestEndOfTheProcess:
    def start_and_lose(self, store: Store, runner: OperationRunner, effect: Effect) -> Operation:
        """Record an operation as a process leaves it that ends while it works."""
        with store.write(ADA) as tx:
            operation = runner.create(tx, KIND)
            o = tables.operations
            values = {"state": OperationState.RUNNING.value, "effect": effect.value, "result": {"kept": True}}
            tx.conn.execute(update(o).where(o.c.id == operation.id).values(**values))
        return operation

    @pytest.mark.parametrize(
        ("effect", "state", "result"),
        [
            (Effect.NONE, OperationState.INTERRUPTED, None),
            (Effect.STAGED, OperationState.INTERRUPTED, None),
            (Effect.APPLIED, OperationState.SUCCEEDED, {"kept": True}),
        ],
    )
    def test_the_next_process_closes_it(
        self, store: Store, runner_for: RunnerFor, effect: Effect, state: OperationState, result: Any
    ) -> None:
        done: list[str] = []
        lost = self.start_and_lose(store, runner_for(lambda control, arguments: {}), effect)
        functions = {name: lambda control, name=name: done.append(name) for name in ("discard", "finalize")}
        following = runner_for(lambda control, arguments: {}, **functions)
        assert following.recover(alone=True) == 1
        assert done == ["finalize" if effect is Effect.APPLIED else "discard"]
        with store.read() as tx:
            operation = records.get_operation(tx, lost.id)
        assert (operation.state, operation.result) == (state, result)
        if state is OperationState.INTERRUPTED:
            assert operation.problem is not None
            assert operation.problem["remedy"] == "start the operation again"
        assert following.recover(alone=True) == 0

    def test_another_replica_waits_for_the_lease(self, store: Store, runner_for: RunnerFor) -> None:
        lost = self.start_and_lose(store, runner_for(lambda control, arguments: {}), Effect.NONE)
        replica = runner_for(lambda control, arguments: {})
        assert replica.recover() == 0, "its process may still be working"
        with store.write(ADA) as tx:
            o = tables.operations
            tx.conn.execute(update(o).where(o.c.id == lost.id).values(lease_until=tx.now - records.LEASE))
        assert replica.recover() == 1
        with store.read() as tx:
            assert records.get_operation(tx, lost.id).state is OperationState.INTERRUPTED

    def test_what_waits_for_a_thread_is_not_lost_to_another_replica(self, store: Store, runner_for: RunnerFor) -> None:
        go_on, o = threading.Event(), tables.operations

        def work(control: OperationControl, arguments: Any) -> Mapping[str, Any]:
            while not go_on.wait(0.01):
                control.write(lambda tx: None)
            return {}

        runner, replica = runner_for(work), runner_for(work)
        operations = [start(store, runner) for _ in range(THREADS + 1)]
        with store.write(ADA) as tx:  # it waits for longer than the lease
            waiting = update(o).where(o.c.id == operations[-1].id).values(lease_until=tx.now - records.LEASE)
            tx.conn.execute(waiting)
        runner.renew_waiting()
        assert replica.recover() == 0
        go_on.set()
        assert {ended(store, operation).state for operation in operations} == {OperationState.SUCCEEDED}
        runner.renew_waiting()

    def test_a_process_that_counts_as_ended_changes_nothing_more(self, store: Store, runner_for: RunnerFor) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def apply(tx: WriteTransaction, put_in_effect: Callable[[], None]) -> Mapping[str, Any]:
            put_in_effect()
            return {}

        def work(control: OperationControl, arguments: Any) -> Mapping[str, Any]:
            control.write(lambda tx: None, effect=Effect.STAGED)
            reached.set()
            assert go_on.wait(SECONDS)
            return control.apply(apply)

        runner, other = runner_for(work), runner_for(work)
        operation = start(store, runner)
        assert reached.wait(SECONDS)
        assert other.recover(alone=True) == 1
        go_on.set()
        operation.future.result(SECONDS)
        with store.read() as tx:
            after = records.get_operation(tx, operation.id)
        assert (after.state, after.effect) == (OperationState.INTERRUPTED, Effect.NONE)

    @pytest.mark.proves("R7", "T-40")
    def test_a_sealed_service_writes_nothing_more_and_closes_it_later(
        self, store: Store, runner_for: RunnerFor
    ) -> None:
        reached, sealed, discarded, o = threading.Event(), threading.Event(), list[Effect](), tables.operations
        runner = runner_for(
            TestCancellation().work,
            is_sealed=sealed.is_set,
            discard=lambda control: discarded.append(control.operation.effect),
        )
        operation = start(store, runner, arguments=reached)
        assert reached.wait(SECONDS)
        sealed.set()
        operation.future.result(SECONDS)
        with store.write(ADA) as tx:
            tx.conn.execute(update(o).where(o.c.id == operation.id).values(lease_until=tx.now - records.LEASE))
        assert runner.recover() == 0
        assert not discarded
        sealed.clear()
        assert runner.recover() == 1
        closed = ended(store, operation)
        assert (closed.state, len(discarded)) == (OperationState.INTERRUPTED, 1)

    def test_closing_leaves_it_to_the_next_process(self, store: Store, runner_for: RunnerFor) -> None:
        reached = threading.Event()
        runner = runner_for(TestCancellation().work)
        operation = start(store, runner, arguments=reached)
        assert reached.wait(SECONDS)
        runner.close()
        with store.read() as tx:
            assert records.get_operation(tx, operation.id).state is OperationState.RUNNING
        assert runner_for(lambda control, arguments: {}).recover() == 1, "at once, without waiting for a lease"
        with store.read() as tx:
            assert records.get_operation(tx, operation.id).state is OperationState.INTERRUPTED


def test_the_number_that_wait_is_bounded(store: Store, runner_for: RunnerFor) -> None:
    go_on = threading.Event()

    def work(control: OperationControl, arguments: Any) -> Mapping[str, Any]:
        assert go_on.wait(SECONDS)
        return {}

    runner = runner_for(work)
    actors = [Actor(Identity.user(f"u{number}"), Channel.CLI) for number in range(THREADS + MAX_WAITING)]
    operations = [start(store, runner, actor) for actor in actors]
    with pytest.raises(Unavailable, match="too many operations"):
        start(store, runner)
    go_on.set()
    assert {ended(store, operation).state for operation in operations} == {OperationState.SUCCEEDED}
