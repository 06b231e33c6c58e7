"""Rate and concurrency limits: one flooder waits, nobody else does (R125). Tables are bounded (R127)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from aizen_hub.problems import TooMany

if TYPE_CHECKING:
    from aizen_hub.service.auth.authenticator import Caller
    from aizen_hub.settings import RateSettings

MAX_ENTRIES = 20_000
LINGER_SECONDS = 0.25
"""How long a refusal is held back at least."""
LONGEST_SECONDS = 10.0
REFUSALS_PER_SECOND = 128.0
"""To one session, or whoever else was refused, on up to 1,280 connections; on more, one to each in ten seconds."""


class Buckets:
    """Token buckets by key.

    Parameters
    ----------
    rate : float
        Tokens per second that flow back.
    burst : int
        Tokens of a full bucket.
    entries : int
        The table's bound; the key longest unused is forgotten first, which by then is a full bucket unless more keys
        than this are busy at once.
    """

    def __init__(
        self, rate: float, burst: int, entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._entries, self._clock = rate, float(burst), entries, clock
        self._table: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token; returns 0, or the seconds until one is there."""
        now = self._clock()
        tokens, at = self._table.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._table[key] = (tokens if wait else tokens - 1, now)
        if len(self._table) > self._entries:
            self._table.popitem(last=False)
        return wait

    def wait(self, key: str) -> float:
        """Return the seconds until a token is there, and take none; an unknown key has a full bucket."""
        tokens, at = self._table.get(key, (self._burst, 0.0))
        return max(0.0, (1 - tokens) / self._rate - (self._clock() - at)) if tokens < 1 else 0.0

    def __len__(self) -> int:
        return len(self._table)


class Line:
    """Who waits for something that is done so many times a second for each key.

    Parameters
    ----------
    rate : float
        Per second.
    longest : float
        Seconds that nobody waits longer than, and that a line is not longer than: who left it in vain is forgotten.
    entries : int
        The table's bound; the key longest unused is forgotten first.
    """

    def __init__(
        self,
        rate: float,
        longest: float = LONGEST_SECONDS,
        entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step, self._longest, self._entries, self._clock = 1 / rate, longest, entries, clock
        self._ends: OrderedDict[str, float] = OrderedDict()

    def join(self, key: str) -> float:
        """Take the next place of a key; returns the seconds until its turn."""
        now = self._clock()
        turn = min(max(self._ends.pop(key, now), now), now + self._longest)
        self._ends[key] = turn + self._step
        if len(self._ends) > self._entries:
            self._ends.popitem(last=False)
        return turn - now


class Limits:
    """What one identity, one session and one unknown source may ask of the service.

    Parameters
    ----------
    settings : RateSettings
    refused : callable
        Counts, by the name of the limit.
    """

    def __init__(self, settings: RateSettings, refused: Callable[[str], None]) -> None:
        self._by_identity = Buckets(settings.requests_per_second, settings.burst)
        self._by_session = Buckets(settings.requests_per_second, settings.burst)
        # Kernels of one host share an address: what one of them asks for without a credential, it takes from the
        # others. So nothing that anybody needs may stand in this line (see `Route.rationed`).
        self._by_source = Buckets(10 * settings.requests_per_second, 10 * settings.burst, entries=2_000)
        self._minted = Buckets(settings.tokens_per_minute / 60, settings.token_burst)
        self._most = settings.in_flight_per_session
        self._flying: dict[str, int] = {}
        self._refusals = Line(REFUSALS_PER_SECOND)
        self._refused = refused

    def admitted(self, caller: Caller) -> AbstractContextManager[None]:
        """Return a place for one request of this caller, to be held while it is answered.

        Raises
        ------
        TooMany
            With ``retry_after`` in seconds.
        """
        if caller.unlimited:
            return _UNLIMITED
        identity, session = caller.identity_key, caller.session
        if identity is None:
            if caller.rationed:
                self._pass(self._by_source, caller.source or "", "source")
            return _UNLIMITED
        if session is not None:
            self._pass(self._by_session, session, "session")
        self._pass(self._by_identity, identity, "identity")
        return self._place(session or identity)

    @asynccontextmanager
    async def minting(self, key: str) -> AsyncIterator[None]:
        """Hold a place for making one token.

        Parameters
        ----------
        key : str
            Of a session or credential that is known to be there: the tables are filled by no other (R127).

        Raises
        ------
        TooMany
            With ``retry_after`` in seconds.
        """
        place = self._place(f"minting {key}")  # first: whoever gets none has made no token
        await self._deny_slowly(key, self._minted.take(key))
        with place:
            yield

    async def need_minting(self, key: str) -> None:
        """Refuse what `minting` would refuse, and take nothing: before the store is asked who this is.

        Raises
        ------
        TooMany
        """
        await self._deny_slowly(key, self._minted.wait(key))

    async def linger(self, caller: Caller) -> None:
        """Hold back the refusal of a caller who was not admitted."""
        await self._linger(caller.session or caller.identity_key or caller.source)

    async def _deny_slowly(self, key: str, wait: float) -> None:
        if wait:
            await self._linger(key)
        self._deny("session", wait)

    async def _linger(self, key: str) -> None:
        # Who is told to wait and asks again at once, as fast as we answer, would have us do little else.
        await asyncio.sleep(max(self._refusals.join(key), LINGER_SECONDS))

    def _place(self, key: str) -> AbstractContextManager[None]:
        flying = self._flying.get(key, 0)
        if flying >= self._most:
            self._refused("in-flight")
            raise TooMany(
                f"{flying} requests of this session are still being answered",
                more={"retry_after": 1},
                remedy="wait until one of them has ended",
            )
        return _Place(self._flying, key)

    def _pass(self, buckets: Buckets, key: str, what: str) -> None:
        self._deny(what, buckets.take(key))

    def _deny(self, what: str, wait: float) -> None:
        if wait:
            self._refused(what)
            raise TooMany(
                f"too many requests from this {what}",
                more={"retry_after": max(1, round(wait + 0.5))},
                remedy="wait and send fewer at a time",
            )


class _Place:
    """One of the places that a session has."""

    __slots__ = ("_flying", "_key")

    def __init__(self, flying: dict[str, int], key: str) -> None:
        self._flying, self._key = flying, key

    def __enter__(self) -> None:
        self._flying[self._key] = self._flying.get(self._key, 0) + 1

    def __exit__(self, *_: object) -> None:
        left = self._flying[self._key] - 1
        if left:
            self._flying[self._key] = left
        else:
            del self._flying[self._key]


_UNLIMITED = nullcontext()
