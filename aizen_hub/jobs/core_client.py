"""The client of the core: start a command, reattach to it, cancel it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CoreEvent, read_event
from aizen_hub.jobs.core_stream import CoreStream
from aizen_hub.problems import CoreFailed, Problem
from aizen_hub.settings import CoreSettings
from aizen_hub.tracing import Tracing
from aizen_hub.validation import strict_json

ACCEPT_SECONDS = 6.0
"""Maximum time until the core accepts a command: a decision token is valid for five seconds."""

Signer = Callable[[CoreCommand, bytes], str]
"""Makes the decision token for a command and its exact body (`tokens.decision_token.issue_decision`)."""


class CoreRequest:
    """The start of one command at the core: ``prepare`` signs it, ``send`` sends it, ``events`` follows it.

    The connection is opened first and the last decision comes last: after ``CoreClient.connect`` and ``prepare`` the
    caller checks the decision once more and calls ``send`` at once, so that nothing slow lies between the decision and
    the first byte. The token is older than that decision: if the process is suspended in between for longer than the
    token is valid, the core rejects it.

    Attributes
    ----------
    sent : bool
        The core may have received the command.
    """

    def __init__(self, stream: CoreStream, command: CoreCommand, sign: Signer, body: bytes = b"") -> None:
        self._stream, self._command, self._sign, self._body = stream, command, sign, body
        self._token: str | None = None
        self.sent = False

    def prepare(self) -> None:
        """Make a new decision token."""
        self._token = self._sign(self._command, self._body)

    async def send(self) -> None:
        """Send the command and wait until the core has accepted it; CoreFailed otherwise."""
        token = self._token or self._sign(self._command, self._body)
        self.sent = True
        async with _within(ACCEPT_SECONDS):
            status = await self._stream.send(token)
            await _check_status(status, self._stream)
            await self._wait_for_acceptance()

    async def _wait_for_acceptance(self) -> None:
        async for line in self._stream.lines():
            event = read_event(line)
            if event.event == "accepted":
                return
            raise CoreFailed("the core did not accept the command first", extensions={"core": "invalid-response"})
        raise CoreFailed("the core closed the connection without a response", extensions={"core": "lost"})

    async def events(self) -> AsyncIterator[CoreEvent]:
        """Yield events up to and including ``end``; CoreFailed when the stream ends before it."""
        async for line in self._stream.lines():
            event = read_event(line)
            if event.event != "accepted":
                yield event
            if event.event == "end":
                return
        raise CoreFailed("the core's response stopped before its end", extensions={"core": "lost"})


class CoreClient:
    """HTTP client of the configured core.

    Parameters
    ----------
    settings : CoreSettings
        Address and deadlines.
    sign : callable
        Makes decision tokens.
    tracing : Tracing, optional
        Makes a span of every exchange, which the core can continue.
    """

    def __init__(self, settings: CoreSettings, sign: Signer, tracing: Tracing | None = None) -> None:
        self._settings, self._sign, self._tracing = settings, sign, tracing

    @asynccontextmanager
    async def connect(self, command: CoreCommand) -> AsyncIterator[CoreRequest]:
        """Open a connection for one new command; CoreFailed when the core cannot be reached."""
        body = command.body()
        async with self._open("POST", "/commands", command, body) as stream:
            yield CoreRequest(stream, command, self._sign, body)

    async def reattach(self, command: CoreCommand) -> AsyncIterator[CoreEvent]:
        """Follow a command that the core has already accepted: first its last progress, then the new events.

        Raises
        ------
        CoreFailed
            The core is unreachable or silent, or does not know the command (``core`` is ``unknown-command``).
        """
        async with self._open("GET", f"/commands/{command.id}", command) as stream:
            status = await stream.send(self._sign(command, b""))
            await _check_status(status, stream)
            async for event in CoreRequest(stream, command, self._sign).events():
                yield event

    async def cancel(self, command: CoreCommand) -> None:
        """Cancel a command; its end comes on the stream. CoreFailed when the core did not accept the cancellation."""
        async with self._open("DELETE", f"/commands/{command.id}", command) as stream, _within(ACCEPT_SECONDS):
            status = await stream.send(self._sign(command, b""))
            await _check_status(status, stream)

    @asynccontextmanager
    async def _open(self, method: str, path: str, command: CoreCommand, body: bytes = b"") -> AsyncIterator[CoreStream]:
        settings, tracing = self._settings, self._tracing
        stream = CoreStream(settings.url, connect_seconds=settings.connect_seconds, idle_seconds=settings.idle_seconds)
        span: AbstractContextManager[Mapping[str, str]] = nullcontext({})
        if tracing is not None:
            span = tracing.core_call(method, command.id)
        with span as headers:
            async with stream:
                await stream.connect(method, path, body, headers)
                yield stream


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise CoreFailed(f"the core has not answered within {seconds:g} s", extensions={"core": "silent"}) from None


async def _check_status(status: int, stream: CoreStream) -> None:
    if status in (200, 202, 204):
        return
    if 300 <= status < 400:
        raise CoreFailed("the core sent a redirect, which is never followed", extensions={"core": "redirect"})
    if status == 404:
        raise CoreFailed("the core does not know this command", extensions={"core": "unknown-command"})
    detail = await _problem_detail(stream)
    raise CoreFailed(f"the core refused with status {status}{detail}", extensions={"core": "refused"})


async def _problem_detail(stream: CoreStream) -> str:
    # Bounded and escaped, since this text is shown to users.
    async for line in stream.lines():
        try:
            value = strict_json.loads(line, max_bytes=8192)
        except Problem:
            return ""
        detail = value.get("detail") if isinstance(value, dict) else None
        if isinstance(detail, str):
            return f": `{detail[:200].encode('unicode_escape').decode('ascii')}`"
    return ""
