"""Throttle for invalid credentials: floods of them are checked one at a time (R125, R127, T-36)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aizen_hub.accounts.credentials.login_throttle import network_of
from aizen_hub.problems import NotAuthenticated, TooManyRequests
from aizen_hub.service.auth.rate_limits import TokenBuckets
from aizen_hub.tokens.opaque_token import hash_credential

MAX_FAILURES = 50
"""Invalid credentials from one network before unknown ones from there are queued."""
FAILURES_PER_SECOND = 5.0
OVER_THRESHOLD_SECONDS = 10.0
"""How long they are queued after the last failure over the threshold."""
MAX_QUEUED = 32
PAUSE_SECONDS = 0.01
"""Pause of a queue after each invalid credential, so that the cost of guessing does not grow with its speed."""
MAX_KNOWN_GOOD = 20_000
_MAX_NETWORKS = 2_000


class FailedAuthThrottle:
    """Bounds the cost of refusing credentials without delaying valid ones.

    A credential that was valid before is checked immediately when it comes from the same network again. Being
    remembered admits no one: it is still checked. An attacker on another network who fails with a stolen credential
    does not affect its owner. Unknown credentials from a network over the threshold are checked one after the other;
    when that queue is full, requests are refused.

    Parameters
    ----------
    deadline : float
        Longest wait in a queue, in seconds.
    on_rejected : callable
        Counts refused requests, by the name of the limit.
    """

    def __init__(self, deadline: float, on_rejected: Callable[[str], None]) -> None:
        self._deadline, self._on_rejected = deadline, on_rejected
        self._failures = TokenBuckets(FAILURES_PER_SECOND, MAX_FAILURES, _MAX_NETWORKS)
        self._over_threshold: OrderedDict[str, float] = OrderedDict()
        self._known_good: OrderedDict[str, None] = OrderedDict()
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def guard(self, token: str, source: str) -> AsyncIterator[None]:
        """Guard the check of one credential; NotAuthenticated raised inside counts as a failure.

        Raises
        ------
        TooManyRequests
            The queue of this network is full.
        """
        network = network_of(source)
        key = hash_credential(f"{network} {token}")
        if key in self._known_good:
            try:
                yield
            except NotAuthenticated:
                self._known_good.pop(key, None)
                raise
            self._known_good[key] = None
            self._known_good.move_to_end(key)
            return
        try:
            if self._over_threshold.get(network, 0.0) > time.monotonic():
                async with self._queued(network):
                    yield
            else:
                yield
        except NotAuthenticated:
            self._record_failure(network)
            raise
        self._known_good[key] = None
        if len(self._known_good) > MAX_KNOWN_GOOD:
            self._known_good.popitem(last=False)

    def _record_failure(self, network: str) -> None:
        wait = self._failures.take(network)
        if wait:
            self._over_threshold[network] = time.monotonic() + wait + OVER_THRESHOLD_SECONDS
            self._over_threshold.move_to_end(network)
            if len(self._over_threshold) > _MAX_NETWORKS:
                self._over_threshold.popitem(last=False)

    @asynccontextmanager
    async def _queued(self, network: str) -> AsyncIterator[None]:
        queue = self._queues.setdefault(network, _Queue())
        if queue.length >= MAX_QUEUED:
            self._on_rejected("unproven")
            raise TooManyRequests("too many refused credentials came from this address", extensions={"retry_after": 1})
        queue.length += 1
        try:
            async with asyncio.timeout(self._deadline):
                await queue.lock.acquire()
            try:
                yield
            except NotAuthenticated:
                await asyncio.sleep(PAUSE_SECONDS)
                raise
            finally:
                queue.lock.release()
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[network]


class _Queue:
    def __init__(self) -> None:
        self.lock, self.length = asyncio.Lock(), 0
