"""Thread pools for work that would block the event loop (database, argon2), with bounded queues (R125, R128)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aizen_hub.problems import Unavailable

T = TypeVar("T")


class Pool:
    """A thread pool with a bounded queue.

    Parameters
    ----------
    name : str
        For thread names and for the message when the queue is full.
    threads : int
    waiting : int
        Operations that may wait for a thread; one more is refused at once.
    """

    def __init__(self, name: str, threads: int, queue_limit: int) -> None:
        self._name = name
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"aizen-{name}")
        self._limit = threads + queue_limit
        self._busy = 0

    @property
    def busy(self) -> int:
        """Operations that run or wait."""
        return self._busy

    async def run(self, operation: Callable[[], T]) -> T:
        """Run ``operation`` in a thread and wait for it.

        A cancelled caller only stops waiting: the operation continues to its end, and counts until then.

        Raises
        ------
        Unavailable
            The queue is full.
        """
        if self._busy >= self._limit:
            raise Unavailable(f"too much {self._name} work is waiting", extensions={"retry_after": 1})
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, operation)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._busy -= 1
        if not future.cancelled():
            future.exception()  # retrieved, since no caller may be waiting any more

    def close(self) -> None:
        """Wait for running operations, and start no more."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Pools:
    """The pools of one service.

    Writes have one thread on SQLite, which has one writer anyway: waiting in a queue is cheaper and fairer than waiting
    for its lock.
    """

    def __init__(self, *, embedded: bool) -> None:
        self.writes = Pool("write", 1 if embedded else 4, 256)
        self.reads = Pool("read", 3, 256)
        # Queries about all users can be long: they have a thread of their own.
        self.queries = Pool("query", 1, 32)
        self.passwords = Pool("password", 2, 32)
        self._all = (self.passwords, self.queries, self.reads, self.writes)

    @property
    def busy(self) -> int:
        """Operations that run or wait, in all pools."""
        return sum(pool.busy for pool in self._all)

    def close(self) -> None:
        for pool in self._all:
            pool.close()
