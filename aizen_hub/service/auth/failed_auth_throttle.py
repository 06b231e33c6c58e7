"""Credentials that proved nothing yet: a flood of them waits in a line of its own (R125, R127, T-36)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aizen_hub.accounts.credentials.login_throttle import place
from aizen_hub.problems import NotAuthenticated, TooMany
from aizen_hub.service.auth.rate_limits import Buckets
from aizen_hub.tokens.opaque_token import hash_credential

FAILURES = 50
"""Refused credentials of one place before unproven ones from there stand in line."""
PER_SECOND = 5.0
CROWDED_SECONDS = 10.0
"""How long they do so after the last one too many."""
MOST_WAITING = 32
PAUSE_SECONDS = 0.01
"""What a line stands still after each bad one, so that what guessing costs us does not grow with its speed."""
MAX_PROVEN = 20_000
_MAX_PLACES = 2_000


class Doubts:
    """Keeps what it costs to refuse a credential small, and shuts nobody out who has a good one.

    A credential that was good once is always looked at, at once, when it comes from there again: that it is remembered
    lets nobody in, and a thief elsewhere who fails with it takes nothing from its owner. Of others, from a place that
    sent too many bad ones, one is looked at after the other; who comes when that line is long is turned away.

    Parameters
    ----------
    deadline : float
        Longest wait in line, in seconds.
    turned_away : callable
        Counts.
    """

    def __init__(self, deadline: float, turned_away: Callable[[str], None]) -> None:
        self._deadline, self._turned_away = deadline, turned_away
        self._failures = Buckets(PER_SECOND, FAILURES, _MAX_PLACES)
        self._crowded: OrderedDict[str, float] = OrderedDict()
        self._proven: OrderedDict[str, None] = OrderedDict()
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def looking_at(self, token: str, source: str) -> AsyncIterator[None]:
        """Hold a place for looking at one credential; what is raised inside says whether it was good.

        Raises
        ------
        TooMany
            The line of this source is full.
        """
        where = place(source)
        key = hash_credential(f"{where} {token}")
        if key in self._proven:
            try:
                yield
            except NotAuthenticated:
                self._proven.pop(key, None)
                raise
            self._proven[key] = None
            self._proven.move_to_end(key)
            return
        try:
            if self._crowded.get(where, 0.0) > time.monotonic():
                async with self._in_line(where):
                    yield
            else:
                yield
        except NotAuthenticated:
            self._failed(where)
            raise
        self._proven[key] = None
        if len(self._proven) > MAX_PROVEN:
            self._proven.popitem(last=False)

    def _failed(self, where: str) -> None:
        wait = self._failures.take(where)
        if wait:
            self._crowded[where] = time.monotonic() + wait + CROWDED_SECONDS
            self._crowded.move_to_end(where)
            if len(self._crowded) > _MAX_PLACES:
                self._crowded.popitem(last=False)

    @asynccontextmanager
    async def _in_line(self, where: str) -> AsyncIterator[None]:
        line = self._lines.setdefault(where, _Line())
        if line.waiting >= MOST_WAITING:
            self._turned_away("unproven")
            raise TooMany("too many refused credentials came from this address", more={"retry_after": 1})
        line.waiting += 1
        try:
            async with asyncio.timeout(self._deadline):
                await line.turn.acquire()
            try:
                yield
            except NotAuthenticated:
                await asyncio.sleep(PAUSE_SECONDS)
                raise
            finally:
                line.turn.release()
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[where]


class _Line:
    def __init__(self) -> None:
        self.turn, self.waiting = asyncio.Lock(), 0
