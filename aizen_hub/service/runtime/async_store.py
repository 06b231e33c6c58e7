"""The store for coroutines: each transaction runs in a thread of a bounded pool, never on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from aizen_hub.service.runtime.thread_pools import Pool, Pools
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

T = TypeVar("T")


class AsyncStore:
    """Runs transactions in the thread pools of the service.

    Parameters
    ----------
    store : Store
    pools : Pools
    """

    def __init__(self, store: Store, pools: Pools) -> None:
        self._store, self._pools = store, pools

    async def read(self, operation: Callable[[ReadTransaction], T], pool: Pool | None = None) -> T:
        """Run ``operation`` on one snapshot of the store.

        Parameters
        ----------
        pool : Pool, optional
            Where it runs; by default with the short reads.

        Raises
        ------
        Unavailable
            The pool's queue is full, or the database does not answer.
        """

        def run() -> T:
            with self._store.read() as tx:
                return operation(tx)

        return await (pool or self._pools.reads).run(run)

    async def write(self, actor: Actor, operation: Callable[[WriteTransaction], T]) -> T:
        """Run ``operation`` in one write transaction of ``actor``, which commits if nothing is raised.

        Raises
        ------
        Unavailable
            The pool's queue is full, or the database does not answer.
        """

        def run() -> T:
            with self._store.write(actor) as tx:
                return operation(tx)

        return await self._pools.writes.run(run)

    async def append_audit(self, records: Sequence[AuditRecord]) -> None:
        """Write audit records in a transaction of their own."""
        await self._pools.writes.run(lambda: self._store.append_audit(records))
