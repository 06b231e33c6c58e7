"""Rate and concurrency limits, so that one client's flood delays no other client (R125); tables are bounded (R127)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, NoReturn

from aizen_hub.problems import TooManyRequests

if TYPE_CHECKING:
    from aizen_hub.service.auth.principal import Principal
    from aizen_hub.settings import RateSettings

MAX_ENTRIES = 20_000
MIN_REFUSAL_DELAY_SECONDS = 0.25
MAX_REFUSAL_DELAY_SECONDS = 10.0
REFUSALS_PER_SECOND = 128.0
"""Per session or other key, for up to 1,280 connections; with more, each connection gets one in ten seconds."""


class TokenBuckets:
    """Token buckets by key.

    Parameters
    ----------
    rate : float
        Tokens per second that are added.
    burst : int
        Tokens of a full bucket.
    max_entries : int
        Bound of the table. The least recently used key is dropped first; its bucket is full by then, unless more keys
        than this are active at once.
    """

    def __init__(
        self, rate: float, burst: int, max_entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._max_entries, self._clock = rate, float(burst), max_entries, clock
        self._table: OrderedDict[str, list[float]] = OrderedDict()  # tokens, and when they were counted

    def take(self, key: str) -> float:
        """Take one token; returns 0, or the seconds until one is available."""
        now = self._clock()
        bucket = self._table.get(key)
        if bucket is None:
            bucket = self._table[key] = [self._burst, now]
            if len(self._table) > self._max_entries:
                self._table.popitem(last=False)
        else:
            self._table.move_to_end(key)
        tokens = min(self._burst, bucket[0] + (now - bucket[1]) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        bucket[0], bucket[1] = tokens if wait else tokens - 1, now
        return wait

    def wait(self, key: str) -> float:
        """Return the seconds until a token is available, without taking one; an unknown key has a full bucket."""
        tokens, at = self._table.get(key) or (self._burst, 0.0)
        return max(0.0, (1 - tokens) / self._rate - (self._clock() - at)) if tokens < 1 else 0.0

    def __len__(self) -> int:
        return len(self._table)


class Pacer:
    """Spaces out events of each key evenly, at a given rate.

    Parameters
    ----------
    rate : float
        Events per second and key.
    max_delay : float
        Longest delay, in seconds, and the time after which reservations that were not used are forgotten.
    max_entries : int
        Bound of the table; the least recently used key is dropped first.
    """

    def __init__(
        self,
        rate: float,
        max_delay: float = MAX_REFUSAL_DELAY_SECONDS,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step, self._max_delay, self._max_entries, self._clock = 1 / rate, max_delay, max_entries, clock
        self._next_free: OrderedDict[str, float] = OrderedDict()

    def reserve(self, key: str) -> float:
        """Reserve the next free time of a key; returns the seconds until then."""
        now = self._clock()
        reserved = min(max(self._next_free.pop(key, now), now), now + self._max_delay)
        self._next_free[key] = reserved + self._step
        if len(self._next_free) > self._max_entries:
            self._next_free.popitem(last=False)
        return reserved - now


class RateLimiter:
    """Limits the requests of each identity, session and unauthenticated client address.

    Parameters
    ----------
    settings : RateSettings
    on_refused : callable
        Counts refusals, by the name of the limit.
    """

    def __init__(self, settings: RateSettings, on_refused: Callable[[str], None]) -> None:
        self._by_identity = TokenBuckets(settings.requests_per_second, settings.burst)
        self._by_session = TokenBuckets(settings.requests_per_second, settings.burst)
        # Kernels on one host share an address, so one of them can use up the limit of all. Endpoints that others depend
        # on must therefore not be limited by source (see `Route.rate_limited`).
        self._by_source = TokenBuckets(10 * settings.requests_per_second, 10 * settings.burst, max_entries=2_000)
        self._issued_tokens = TokenBuckets(settings.tokens_per_minute / 60, settings.token_burst)
        self._in_flight_limit = settings.in_flight_per_session
        self._account_in_flight_limit = settings.in_flight_per_service_account
        self._in_flight: dict[str, int] = {}
        self._refusal_pacer = Pacer(REFUSALS_PER_SECOND)
        self._on_refused = on_refused

    def admit(self, principal: Principal) -> AbstractContextManager[None]:
        """Return a slot for one request of a principal, to be held until it is answered.

        Raises
        ------
        TooManyRequests
            With ``retry_after`` in seconds.
        """
        if principal.is_unlimited:
            return _UNLIMITED
        identity, session = principal.identity_key, principal.session_id
        if identity is None:
            if principal.rate_limited_by_source:
                self._require_no_wait("source", self._by_source.take(principal.source or ""))
            return _UNLIMITED
        if session is not None and (wait := self._by_session.take(session)):
            self._refuse("session", wait)
        if wait := self._by_identity.take(identity):
            self._refuse("identity", wait)
        if principal.is_service_account:
            return self._in_flight_slot(identity, self._account_in_flight_limit, "service account")
        return self._in_flight_slot(session or identity, self._in_flight_limit, "session")

    @asynccontextmanager
    async def issuing_token(self, key: str) -> AsyncIterator[None]:
        """Hold a slot for issuing one token.

        Parameters
        ----------
        key : str
            Of an existing session or credential: no other key may fill the tables (R127).

        Raises
        ------
        TooManyRequests
            With ``retry_after`` in seconds.
        """
        # The slot first: a request without one takes no token.
        slot = self._in_flight_slot(f"issuing {key}", self._in_flight_limit, "session")
        await self._require_tokens_slowly(key, self._issued_tokens.take(key))
        with slot:
            yield

    async def require_token_budget(self, key: str) -> None:
        """Refuse what `issuing_token` would refuse, before the key is looked up in the store; takes nothing.

        Raises
        ------
        TooManyRequests
        """
        await self._require_tokens_slowly(key, self._issued_tokens.wait(key))

    async def delay_refusal(self, principal: Principal) -> None:
        """Delay the response to a principal that was not admitted."""
        await self._delay(principal.session_id or principal.identity_key or principal.source)

    async def _require_tokens_slowly(self, key: str, wait: float) -> None:
        if wait:
            await self._delay(key)
        self._require_no_wait("session", wait)

    async def _delay(self, key: str) -> None:
        # A client that repeats its request as soon as it is refused would otherwise keep the service busy.
        await asyncio.sleep(max(self._refusal_pacer.reserve(key), MIN_REFUSAL_DELAY_SECONDS))

    def _in_flight_slot(self, key: str, limit: int, holder: str) -> AbstractContextManager[None]:
        count = self._in_flight.get(key, 0)
        if count >= limit:
            self._on_refused("in-flight")
            raise TooManyRequests(
                f"{count} requests of this {holder} are still being answered",
                extensions={"retry_after": 1},
                remedy="wait until one of them has ended",
            )
        return _InFlightSlot(self._in_flight, key)

    def _require_no_wait(self, limit: str, wait: float) -> None:
        if wait:
            self._refuse(limit, wait)

    def _refuse(self, limit: str, wait: float) -> NoReturn:
        self._on_refused(limit)
        raise TooManyRequests(
            f"too many requests from this {limit}",
            extensions={"retry_after": max(1, round(wait + 0.5))},
            remedy="wait and send fewer at a time",
        )


class _InFlightSlot:
    """One of the concurrent requests that a session or service account may have."""

    __slots__ = ("_in_flight", "_key")

    def __init__(self, in_flight: dict[str, int], key: str) -> None:
        self._in_flight, self._key = in_flight, key

    def __enter__(self) -> None:
        self._in_flight[self._key] = self._in_flight.get(self._key, 0) + 1

    def __exit__(self, *_: object) -> None:
        left = self._in_flight[self._key] - 1
        if left:
            self._in_flight[self._key] = left
        else:
            del self._in_flight[self._key]


_UNLIMITED = nullcontext()
