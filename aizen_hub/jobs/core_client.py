"""The client of the core: start a command, come back to it, cancel it (DESIGN, contract *core*)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent, read_event
from aizen_hub.jobs.core_stream import CoreStream
from aizen_hub.problems import CoreFailed, Problem
from aizen_hub.settings import CoreSettings
from aizen_hub.validation import strict_json

ACCEPT_SECONDS = 6.0
"""A decision token is good for five seconds; a core that has not accepted by then never will."""

Sign = Callable[[Order, bytes], str]
"""Makes the decision token for an order and its exact body (`tokens.decision_token.issue_decision`)."""


class CoreCall:
    """One command at the core; ``prepare`` signs it, ``begin`` sends it, ``events`` follows it.

    Connect first, decide last: the caller asks the store once more after ``CoreClient.connect`` and ``prepare``, and
    then calls ``begin`` at once, so that nothing slow lies between the decision and the first byte. The token is older
    than that decision: a process that stands still in between for longer than the token lives has sent nothing.
    """

    def __init__(self, stream: CoreStream, order: Order, sign: Sign) -> None:
        self._stream, self._order, self._sign = stream, order, sign
        self._body = order.body()
        self._token: str | None = None
        self.sent = False

    def prepare(self) -> None:
        """Make the decision token anew."""
        self._token = self._sign(self._order, self._body)

    async def begin(self) -> None:
        """Send what was prepared and wait until the core has accepted it; CoreFailed otherwise."""
        token = self._token or self._sign(self._order, self._body)
        self.sent = True
        async with _within(ACCEPT_SECONDS):
            status = await self._stream.send("POST", "/commands", token, self._body)
            await _check(status, self._stream)
            await self._accepted()

    async def _accepted(self) -> None:
        async for line in self._stream.lines():
            event = read_event(line)
            if event.event == "accepted":
                return
            raise CoreFailed("the core began without accepting the command", more={"core": "rubbish"})
        raise CoreFailed("the core closed the connection without a word", more={"core": "lost"})

    async def events(self) -> AsyncIterator[CoreEvent]:
        """Yield events up to and including ``end``; CoreFailed when the stream breaks before it."""
        async for line in self._stream.lines():
            event = read_event(line)
            if event.event != "accepted":
                yield event
            if event.event == "end":
                return
        raise CoreFailed("the core's answer stopped before its end", more={"core": "lost"})


class CoreClient:
    """Speaks to the configured core, and to no other: redirects are never followed.

    Parameters
    ----------
    settings : CoreSettings
        Address and deadlines.
    sign : callable
        Makes decision tokens.
    """

    def __init__(self, settings: CoreSettings, sign: Sign) -> None:
        self._settings, self._sign = settings, sign

    @asynccontextmanager
    async def connect(self, order: Order) -> AsyncIterator[CoreCall]:
        """Open a connection for one new command; CoreFailed when the core cannot be reached."""
        async with self._open() as stream:
            yield CoreCall(stream, order, self._sign)

    async def reattach(self, order: Order) -> AsyncIterator[CoreEvent]:
        """Follow a command that the core has already; its last progress comes again, then what is new.

        Raises
        ------
        CoreFailed
            Unreachable, silent, or it does not know the command (``more["core"] == "forgotten"``).
        """
        async with self._open() as stream:
            status = await stream.send("GET", f"/commands/{order.id}", self._sign(order, b""))
            await _check(status, stream)
            async for event in CoreCall(stream, order, self._sign).events():
                yield event

    async def cancel(self, order: Order) -> None:
        """Ask the core to stop a command; its end comes on the stream. CoreFailed when the core did not take it."""
        async with self._open() as stream, _within(ACCEPT_SECONDS):
            status = await stream.send("DELETE", f"/commands/{order.id}", self._sign(order, b""))
            await _check(status, stream)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[CoreStream]:
        settings = self._settings
        async with CoreStream(
            settings.url, connect_seconds=settings.connect_seconds, idle_seconds=settings.idle_seconds
        ) as stream:
            # The connection as a whole may take no longer than its parts: name look-up is not bounded by tornado.
            try:
                async with asyncio.timeout(settings.connect_seconds * 2):
                    await stream.connect()
            except TimeoutError:
                raise CoreFailed("the core cannot be reached in time", more={"core": "down"}) from None
            yield stream


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise CoreFailed(f"the core has not answered within {seconds:g} s", more={"core": "silent"}) from None


async def _check(status: int, stream: CoreStream) -> None:
    if status in (200, 202, 204):
        return
    if 300 <= status < 400:
        raise CoreFailed("the core answers with a redirect, which is never followed", more={"core": "redirect"})
    if status == 404:
        raise CoreFailed("the core does not know this command", more={"core": "forgotten"})
    detail = await _detail(stream)
    raise CoreFailed(f"the core refused with status {status}{detail}", more={"core": "refused"})


async def _detail(stream: CoreStream) -> str:
    # Bounded and escaped: this text ends on a person's screen.
    async for line in stream.lines():
        try:
            value = strict_json.loads(line, max_bytes=8192)
        except Problem:
            return ""
        detail = value.get("detail") if isinstance(value, dict) else None
        if isinstance(detail, str):
            return f": `{detail[:200].encode('unicode_escape').decode('ascii')}`"
    return ""
