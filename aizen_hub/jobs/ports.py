"""What the runner needs of whoever decides and records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent


class Judge(Protocol):
    """Decides orders again on the present state. Both may raise Problem: then nothing is decided."""

    async def before(self, order: Order) -> str | None:
        """Decide an order that the core has not accepted: everything counts that a new command needs (R47, R48).

        None to go on, or the sentence that says why not.
        """

    async def again(self, orders: Collection[Order]) -> Mapping[str, str | None]:
        """Decide orders that run, by their ids; what is missing in the answer could not be decided.

        Only what a command needs that runs counts; its token and session may have ended.
        """


class Book(Protocol):
    """Where commands are recorded. All but ``forget`` are called in a worker thread, each is one transaction."""

    def begin(self, order: Order) -> None:
        """Write the intent row and, for a command that starts a job, count the job; a Problem refuses the command."""

    def finish(self, order: Order, end: CoreEvent) -> None:
        """Write the outcome row and, where a job ended, take it off the count; harmless when done twice."""

    def release(self, orders: Collection[Order]) -> None:
        """Let somebody else follow these; called at the end, and never fails."""

    def forget(self, order: Order) -> None:
        """Drop what is held of an order in memory: it is out of the runner's hands, whether it began or not."""
