"""What the runner needs of whoever decides and records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from aizen_hub.jobs.core_event import State
from aizen_hub.jobs.order import Order

StillAllowed = Callable[[Order, bool], Awaitable[str | None]]
"""Decides an order again on the present state: None to go on, or the sentence that says why not. May raise Problem.

It is told whether the core has accepted the order. Until then everything counts that a new command needs, its token and
its session too (R47, R48); afterwards only what a command needs that runs."""


class Book(Protocol):
    """Where commands are recorded. All are called in a worker thread, each is one transaction."""

    def begin(self, order: Order) -> None:
        """Write the intent row and, for a command that starts a job, count the job; a Problem refuses the command."""

    def finish(self, order: Order, state: State, message: str) -> None:
        """Write the outcome row and, where a job ended, take it off the count; harmless when done twice."""

    def release(self, orders: Collection[Order]) -> None:
        """Let somebody else follow these; called at the end, and never fails."""
