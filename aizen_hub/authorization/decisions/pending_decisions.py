"""Pending decision requests of one event loop, with one timer for all their deadlines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aizen_hub.authorization.decisions.batch_item import BatchItem, Outcome
from aizen_hub.authorization.decisions.evaluation import boottime
from aizen_hub.problems import Problem, Unavailable

log = logging.getLogger(__name__)


class PendingDecision:
    """One item that waits for its batch, with the future of its outcome.

    Attributes
    ----------
    deadline : float
        Seconds of `boottime`.
    """

    __slots__ = ("deadline", "future", "item", "queue")

    def __init__(self, queue: PendingDecisions, item: BatchItem[Any], deadline: float) -> None:
        self.queue, self.item, self.deadline = queue, item, deadline
        self.future: asyncio.Future[Any] = queue.loop.create_future()


Outcomes = Sequence[tuple[PendingDecision, Outcome | Problem]]


class PendingDecisions:
    """The pending requests of one event loop.

    No request waits longer than its deadline, whatever the decision thread does. There is one timer for all requests: a
    timer per request would cost more than most of the other work for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pending: set[PendingDecision] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, pending: PendingDecision) -> None:
        """Add a request and watch its deadline."""
        self._pending.add(pending)
        if self._timer is None or pending.deadline < self._due:
            self._set_timer(pending.deadline)

    def discard(self, pending: PendingDecision) -> None:
        """Remove a request that was answered or cancelled."""
        self._pending.discard(pending)

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: object) -> None:
        """Run a callback on the event loop, from another thread; does nothing once the loop is closed."""
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            log.info("an event loop was closed before its decisions could be delivered")

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_later(max(0.0, due - boottime()), self._expire_overdue)

    def _expire_overdue(self) -> None:
        self._timer = None
        now = boottime()
        resolve([(pending, timeout_error()) for pending in self._pending if pending.deadline <= now])
        deadlines = [pending.deadline for pending in self._pending if pending.deadline > now]
        if deadlines:
            self._set_timer(min(deadlines))


def timeout_error() -> Unavailable:
    """Return the error of a request whose deadline has passed."""
    return Unavailable("the store did not answer in time", remedy="try again in a moment")


def resolve(outcomes: Outcomes) -> None:
    """Set the futures, on their event loop; those that are already done are skipped."""
    for pending, outcome in outcomes:
        future = pending.future
        if future.done():
            continue
        if isinstance(outcome, Problem):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
