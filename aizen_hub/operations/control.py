"""What a running operation uses: bounded batches, progress, and the points at which it can be cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aizen_hub.operations import records
from aizen_hub.operations.operation import (
    CANCELLED,
    Effect,
    Operation,
    OperationCancelled,
    OperationInterrupted,
    Progress,
)
from aizen_hub.store.actor import Actor
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction

TARGET_SECONDS = 0.015
"""How long a batch should hold the write lock: at most 50 ms, also where a commit is slow now and then."""
_SLICE_SECONDS = 0.002
_REST = 0.5  # of the time that was worked, left to others
_RENEW_SECONDS = 0.5


class OperationControl:
    """One running operation, as the code that does its work sees it.

    Not for several threads at once.

    Parameters
    ----------
    store : Store
    operation : Operation
    actor : Actor
        Who requested it.
    stop : Event
        Set where the process ends.
    cancelled : Event
        Set where a cancellation was requested in this process; that of another one is read from the store.
    discarding : bool
        What the operation staged is being removed, which a cancellation does not end.
    is_sealed : callable
        Whether the service decides nothing: then nothing is written either, since the database may be the wrong one.
    """

    def __init__(
        self,
        store: Store,
        operation: Operation,
        actor: Actor,
        stop: threading.Event,
        cancelled: threading.Event,
        *,
        discarding: bool = False,
        is_sealed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._discarding, self._is_sealed = discarding, is_sealed
        self.store, self.operation, self.actor = store, operation, actor
        self.longest_batch = 0.0
        """Seconds of the longest batch so far, from the write lock to the end of the commit."""
        self._stop, self._cancelled = stop, cancelled
        self._progress = Progress()
        self._renewed = self._slice_began = time.monotonic()

    def report(self, phase: str, done: int = 0, total: int = 0) -> None:
        """Note the progress; it is stored with the next batch, or within a second."""
        self._progress = Progress(phase, done, total)
        self.rest()

    def rest(self) -> None:
        """Leave the interpreter to other threads for a moment, where this one has used it for some milliseconds.

        Called often by work that only computes: decisions of others wait for the interpreter otherwise.

        Raises
        ------
        OperationCancelled, OperationInterrupted
        """
        worked = time.monotonic() - self._slice_began
        if worked < _SLICE_SECONDS:
            return
        time.sleep(worked * _REST)
        self.check()
        if time.monotonic() - self._renewed >= _RENEW_SECONDS:
            self.write(lambda tx: None)
        self._slice_began = time.monotonic()

    def check(self) -> None:
        """Raise if the operation has to end; not once it has taken effect."""
        if self._stop.is_set():
            raise OperationInterrupted(
                "the service was stopped before the operation had ended, and nothing was changed",
                remedy="start the operation again",
            )
        if self._is_sealed():
            raise OperationInterrupted(
                "the service was sealed before the operation had ended, and nothing was changed",
                remedy="start the operation again once the service is repaired",
            )
        if self._cancelled.is_set() and self.operation.effect is not Effect.APPLIED:
            raise OperationCancelled(CANCELLED)

    def write(self, change: Callable[[WriteTransaction], None], *, effect: Effect | None = None) -> float:
        """Run one batch in a transaction of its own, and store the progress with it.

        A batch should take `TARGET_SECONDS`; `BatchSize` finds out how much that is.

        Parameters
        ----------
        effect : Effect, optional
            Of the operation from this batch on.

        Returns
        -------
        float
            How many seconds the write lock was held.

        Raises
        ------
        OperationCancelled, OperationInterrupted
        Problem
            Of ``change``; then nothing of the batch is stored.
        """
        self.check()
        progress, operation = self._progress, self.operation
        values = {} if effect is None else {"effect": effect.value}
        began = time.monotonic()
        with self.store.write(self.actor) as tx:
            began = time.monotonic()
            records.renew(tx, operation.id, operation.owner, progress, even_if_cancelled=self._discarding, **values)
            change(tx)
        ended = time.monotonic()
        if effect is not None:
            self.operation = replace(operation, effect=effect)
        self.longest_batch = max(self.longest_batch, ended - began)
        # The next writer gets the lock: it is free for longer than it takes to be noticed.
        time.sleep(max(0.002, (ended - began) * _REST))
        self._renewed = self._slice_began = time.monotonic()
        return ended - began

    def apply(self, change: Callable[[WriteTransaction, Callable[[], None]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Put what was staged in effect, in one transaction with further changes.

        Parameters
        ----------
        change : callable
            Gets the transaction and a function, which it calls to put what was staged in effect: what it does
            afterwards finds the new rows. Returns the result of the operation.

        Raises
        ------
        OperationCancelled, OperationInterrupted
            Before it took effect.
        Problem
            Of ``change``.
        """
        self.check()
        began = time.monotonic()
        with self.store.write(self.actor) as tx:
            began = time.monotonic()
            result = change(tx, lambda: self._put_in_effect(tx))
            records.store_result(tx, self.operation.id, result)
            applied = records.get_operation(tx, self.operation.id)
        self.operation = applied
        self.longest_batch = max(self.longest_batch, time.monotonic() - began)
        return result

    def _put_in_effect(self, tx: WriteTransaction) -> None:
        if records.apply_effect(tx, self.operation.id, self.operation.owner):
            return
        raise records.lost_error(tx, self.operation.id, self.operation.owner)


class BatchSize:
    """The number of items of one batch, so that it takes `TARGET_SECONDS`.

    Attributes
    ----------
    items : int
    """

    def __init__(self, items: int = 50, smallest: int = 40, largest: int = 500) -> None:
        # On a busy disk a commit can take longer than the whole batch should: then fewer items would not make it
        # shorter, and only their number would grow.
        self.items, self._smallest, self._largest = items, smallest, largest

    def adapt(self, seconds: float) -> None:
        """Take account of how long a batch took: halve after a slow one at once, grow slowly after a fast one."""
        factor = min(1.3, max(0.5, TARGET_SECONDS / max(seconds, 0.001)))
        self.items = min(self._largest, max(self._smallest, int(self.items * factor)))
