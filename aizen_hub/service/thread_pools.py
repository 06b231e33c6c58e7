"""Threads for what would block the event loop: the database and argon2. Each pool's queue is bounded (R125, R128)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aizen_hub.problems import Unavailable

T = TypeVar("T")


class Pool:
    """A few threads with a bounded queue.

    Parameters
    ----------
    name : str
        For thread names and the message when it is full.
    threads : int
    waiting : int
        Calls that may wait for a thread; one more is refused at once instead of piling up.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name = name
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"aizen-{name}")
        self._most = threads + waiting
        self._busy = 0

    @property
    def busy(self) -> int:
        """Calls that run or wait."""
        return self._busy

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and wait for it.

        A caller that gives up stops waiting only: the work goes on to its end, and its place is held until then.

        Raises
        ------
        Unavailable
            The queue is full.
        """
        if self._busy >= self._most:
            raise Unavailable(f"too much {self._name} work is waiting", more={"retry_after": 1})
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._busy -= 1
        if not future.cancelled():
            future.exception()  # seen: nobody may be waiting for it any more

    def close(self) -> None:
        """Let what runs end, start nothing more."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Pools:
    """The pools of one service.

    Writes have one thread on SQLite, which has one writer anyway: waiting in our queue is cheaper and fairer than
    waiting for its lock.
    """

    def __init__(self, *, embedded: bool) -> None:
        self.writes = Pool("write", 1 if embedded else 4, 256)
        self.reads = Pool("read", 3, 256)
        # Questions about everybody can be long. They wait for each other and for nobody else.
        self.questions = Pool("question", 1, 32)
        self.passwords = Pool("password", 2, 32)
        self._all = (self.passwords, self.questions, self.reads, self.writes)

    @property
    def busy(self) -> int:
        """Calls that run or wait, in all of them."""
        return sum(pool.busy for pool in self._all)

    def close(self) -> None:
        for pool in self._all:
            pool.close()
