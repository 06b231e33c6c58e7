"""The threads that run operations, and the recovery of those whose process ended."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from aizen_hub.operations import records
from aizen_hub.operations.control import OperationControl
from aizen_hub.operations.interpreter import INTERPRETER
from aizen_hub.operations.kind import OperationKind
from aizen_hub.operations.operation import (
    Effect,
    Operation,
    OperationCancelled,
    OperationInterrupted,
    OperationState,
)
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.wording import CommandNames, Interface

log = logging.getLogger(__name__)

THREADS = 2
MAX_WAITING = 8
_RENEWAL = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
_INTERFACES = {Channel.KERNEL: Interface.NOTEBOOK, Channel.PANEL: Interface.WEB}
_INTERRUPTED = "the service ended or was sealed before the operation had ended, and nothing was changed"
_PARTLY_DONE = "the service ended or was sealed before the operation had ended; what it had changed until then stays"
_START_AGAIN = "start the operation again"


class OperationRunner:
    """Runs the operations that this process started.

    Parameters
    ----------
    store : Store
    kinds : iterable of OperationKind
    command_names : callable
        Returns the catalog's command with a handler, for remedies that name one.
    is_sealed : callable
        Whether the service decides nothing; operations end then, and are closed once it decides again.
    """

    def __init__(
        self,
        store: Store,
        kinds: Iterable[OperationKind],
        command_names: CommandNames,
        is_sealed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._owner, self._command_names = store, secrets.token_hex(16), command_names
        self._is_sealed = is_sealed
        self._kinds = {kind.name: kind for kind in kinds}
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="aizen-operation")
        self._stop = threading.Event()
        self._cancelled: dict[str, threading.Event] = {}
        self._waiting: set[str] = set()  # for a thread
        self._lock = threading.Lock()

    def create(self, tx: WriteTransaction, kind: str, **details: Any) -> Operation:
        """Record an operation of the transaction's actor; `submit` starts it once the transaction is committed.

        Raises
        ------
        TooManyRequests, Unavailable
            Too many operations of the actor, or of all users, have not ended.
        """
        if len(self._cancelled) >= THREADS + MAX_WAITING:
            raise Unavailable("too many operations are waiting", extensions={"retry_after": 5})
        return records.create_operation(tx, self._kinds[kind].name, self._owner, details)

    def submit(self, operation: Operation, actor: Actor, arguments: Any) -> Future[None]:
        """Run an operation in a thread.

        Parameters
        ----------
        actor : Actor
            Who requested it, as the request told.
        arguments : object
            For `OperationKind.run`; they are kept in memory only.
        """
        self._event(operation.id)
        with self._lock:
            self._waiting.add(operation.id)
        return self._executor.submit(self._run, operation, actor, arguments)

    def run(self, operation: Operation, actor: Actor, arguments: Any) -> Operation:
        """Run an operation in the caller's thread, and return it as it ended."""
        self._run(operation, actor, arguments)
        with self._store.read() as tx:
            return records.get_operation(tx, operation.id)

    def note_cancellation(self, operation_id: str) -> None:
        """Tell the thread of an operation that its cancellation was recorded; without it, it takes half a second."""
        with self._lock:
            event = self._cancelled.get(operation_id)
        if event is not None:
            event.set()

    def recover(self, *, alone: bool = False) -> int:
        """Complete or discard the operations whose process has ended; returns how many.

        Parameters
        ----------
        alone : bool
            No other process uses the store, so every operation of another one is over.
        """
        if self._is_sealed():
            return 0
        with self._store.read() as tx:
            orphans = records.find_orphans(tx, self._owner, all_others=alone)
        recovered = 0
        for operation in orphans:
            with self._lock:
                if operation.id in self._cancelled:
                    continue  # it waits for a thread of this process
            with self._store.write(operation.actor) as tx:
                taken = records.take_over(tx, operation, self._owner)
                current = records.get_operation(tx, operation.id)
            if taken:
                self._recover(current)
                recovered += 1
        return recovered

    def renew_waiting(self) -> None:
        """Keep the operations that wait for a thread of this process; other processes would take them for orphans."""
        with self._lock:
            waiting = sorted(self._waiting)
        if waiting and not self._is_sealed():
            with self._store.write(_RENEWAL) as tx:
                records.renew_waiting(tx, self._owner, waiting)

    def stop(self) -> None:
        """End all operations at their next step."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait for the threads; another process, or the next, closes the operations."""
        self.stop()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self, operation: Operation, actor: Actor, arguments: Any) -> None:
        with self._lock:
            self._waiting.discard(operation.id)
        kind = self._kinds[operation.kind]
        control = OperationControl(
            self._store, operation, actor, self._stop, self._event(operation.id), is_sealed=self._is_sealed
        )
        try:
            result = self._attempt(kind, control, arguments)
            if result is not None:
                self._finish(control, OperationState.SUCCEEDED, result=result)
        except Problem as problem:
            # Of the store: the lease is not renewed any more, and the operation is recovered when the store answers.
            log.warning("operation not closed", extra={"data": {"id": operation.id, "why": problem.detail}})
        except Exception as error:
            log.error("operation not closed", exc_info=error, extra={"data": {"id": operation.id}})
        finally:
            with self._lock:
                self._cancelled.pop(operation.id, None)

    def _attempt(self, kind: OperationKind, control: OperationControl, arguments: Any) -> Mapping[str, Any] | None:
        """Return the result, or None where the operation is closed, or has to be recovered."""
        try:
            with INTERPRETER.for_operation():
                return kind.run(control, arguments)
        except OperationCancelled as problem:
            state, document = OperationState.CANCELLED, problem.to_json()
        except OperationInterrupted as problem:
            # The process ends, or has lost the operation: the next one discards or completes it.
            log.info("operation interrupted", extra={"data": {"id": control.operation.id, "why": problem.detail}})
            if not self._is_sealed():
                with self._store.write(control.actor) as tx:
                    records.release(tx, control.operation)
            return None
        except Problem as problem:
            problem.word_for(_INTERFACES.get(control.actor.channel, Interface.COMMAND_LINE), self._command_names)
            state, document = OperationState.FAILED, problem.to_json()
        except Exception as error:
            log.error("operation failed", exc_info=error, extra={"data": {"id": control.operation.id}})
            state, document = OperationState.FAILED, Problem("this could not be done now").to_json()
        if control.operation.effect is Effect.APPLIED:
            log.warning("operation not completed", extra={"data": {"id": control.operation.id, "why": document}})
            return None  # in effect: it is completed by `recover`
        self._discard(kind, control, state, document)
        return None

    def _discard(
        self, kind: OperationKind, control: OperationControl, state: OperationState, problem: Mapping[str, Any]
    ) -> None:
        # What ended it must not end the discarding too.
        quiet = OperationControl(
            self._store,
            control.operation,
            control.actor,
            threading.Event(),
            threading.Event(),
            discarding=True,
            is_sealed=self._is_sealed,
        )
        kind.discard(quiet)
        self._finish(quiet, state, problem=problem)

    def _recover(self, operation: Operation) -> None:
        kind, never = self._kinds[operation.kind], threading.Event()
        control = OperationControl(
            self._store,
            operation,
            operation.actor,
            never,
            never,
            discarding=operation.effect is not Effect.APPLIED,
            is_sealed=self._is_sealed,
        )
        if operation.effect is Effect.APPLIED:
            kind.finalize(control)
            self._finish(control, OperationState.SUCCEEDED)
            return
        detail = _PARTLY_DONE if kind.keeps_batches else _INTERRUPTED
        interrupted = OperationInterrupted(detail, remedy=_START_AGAIN)
        self._discard(kind, control, OperationState.INTERRUPTED, interrupted.to_json())
        log.warning("operation interrupted", extra={"data": {"id": operation.id, "kind": operation.kind}})

    def _finish(
        self,
        control: OperationControl,
        state: OperationState,
        *,
        result: Mapping[str, Any] | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        with self._store.write(control.actor) as tx:
            records.finish(tx, control.operation, state, result=result, problem=problem)
        operation, longest = control.operation, round(1000 * control.longest_batch, 1)
        data = {"id": operation.id, "kind": operation.kind, "state": state.value, "longest_batch_ms": longest}
        log.info("operation ended", extra={"data": data})

    def _event(self, operation_id: str) -> threading.Event:
        with self._lock:
            return self._cancelled.setdefault(operation_id, threading.Event())
