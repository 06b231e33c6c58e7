"""Readiness: whether this service can decide, or why not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aizen_hub.service.replicas import OwnReplica
from aizen_hub.service.runtime.clock_check import REMEDY, ClockCheck
from aizen_hub.store.transaction import ReadTransaction


class NotReady(NamedTuple):
    """The reason why the service cannot decide, and the remedy."""

    reason: str
    remedy: str


Check = Callable[[ReadTransaction], NotReady | None]


class ReadinessCheck:
    """Compares what this service was started with and the store.

    Parameters
    ----------
    catalog_hash : str
        Of the catalog that this service decides with.
    clock : ClockCheck
    replica : OwnReplica or None
        None: no other service uses this database.
    """

    def __init__(self, catalog_hash: str, clock: ClockCheck, replica: OwnReplica | None) -> None:
        self._catalog_hash, self._clock, self._replica = catalog_hash, clock, replica
        self._running: asyncio.Task[NotReady | None] | None = None

    async def result(self, read: Callable[[Check], Awaitable[NotReady | None]]) -> NotReady | None:
        """Return why this service is not ready; None: it is.

        Probes are not rate limited, so a flood of them must cost nothing: concurrent calls share one check (R125).

        Parameters
        ----------
        read : callable
            Runs a function on a snapshot of the store.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(read(self._check))
            self._running.add_done_callback(lambda done: done.cancelled() or done.exception())  # all may have gone
        return await asyncio.shield(self._running)

    def _check(self, tx: ReadTransaction) -> NotReady | None:
        if tx.state.catalog_hash != self._catalog_hash:
            return NotReady(
                "the store was changed to another catalog than this service was started with",
                "restart it with that catalog, or run `aizen-hub db adopt-catalog` with its own",
            )
        conflict = None if self._replica is None else self._replica.find_conflict(tx)
        if conflict is not None:
            return NotReady(conflict.sentence, conflict.remedy)
        self._clock.compare_with_store(tx.now)
        fault = self._clock.fault
        return None if fault is None else NotReady(fault, REMEDY)
