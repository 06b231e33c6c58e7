"""One HTTP exchange with the core whose response is read line by line, with a deadline on every wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from aizen_hub.jobs.core_event import MAX_LINE_BYTES
from aizen_hub.problems import CoreFailed

MAX_RESPONSE_BYTES = 64 << 20
_MAX_HEADER_BYTES = 8 * 1024
_MAX_HEADERS = 64
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
"""The deadlines are those of `CoreStream`: aiohttp rounds its own up, and they do not fit a request that is held."""


class _HeldConnector(aiohttp.TCPConnector):
    """Opens one connection and holds the request back until its token is known.

    aiohttp connects and sends in one step. Here the last decision on the command is made in between: ``connected``
    is set once the connection is open, and nothing is sent before ``token`` is.
    """

    def __init__(self) -> None:
        super().__init__(limit=1, force_close=True)
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.token: asyncio.Future[str] = loop.create_future()

    async def connect(  # the signature of aiohttp
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Any:
        if self.connected.done():
            # The session repeats GET and DELETE after a lost connection; here the caller decides about that.
            raise aiohttp.ClientConnectionError("one connection per exchange")
        connection = await super().connect(req, traces, timeout)
        try:
            self.connected.set_result(None)
            req.headers["Authorization"] = f"Bearer {await self.token}"
        except BaseException:  # re-raised; the connection must not stay open
            connection.close()
            raise
        return connection


class CoreStream:
    """One request to the core: first ``connect``, then ``send`` once, then ``lines``.

    Connecting is a step of its own, so that the last decision can be made between it and the first byte of the command.
    Redirects are not followed, and no proxy, cookie or credential comes from the environment.

    Parameters
    ----------
    url : str
        Address of the core, ``http://`` or ``https://``.
    connect_seconds : float
        Maximum time to open the connection, name resolution and TLS included.
    idle_seconds : float
        Maximum time until the response begins, and until each next line.
    """

    def __init__(self, url: str, *, connect_seconds: float, idle_seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CoreFailed("the address of the core is not an http or https address", extensions={"core": "address"})
        self._base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._connect_seconds, self._idle_seconds = connect_seconds, idle_seconds
        self._session: aiohttp.ClientSession | None = None
        self._connector: _HeldConnector | None = None
        self._request: asyncio.Task[aiohttp.ClientResponse] | None = None
        self._buffer = bytearray()
        self._received = 0

    async def connect(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Open the connection for a request; CoreFailed when that fails or takes too long."""
        self._connector = connector = _HeldConnector()
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_TIMEOUT,
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
        )
        self._request = asyncio.create_task(self._exchange(self._session, method, path, body, headers or {}))
        events: set[asyncio.Future[Any]] = {self._request, connector.connected}
        await asyncio.wait(events, timeout=self._connect_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not connector.connected.done():
            error = self._request.exception() if self._request.done() else None
            detail = "in time" if error is None else f"({type(error).__name__})"
            raise CoreFailed(f"the core cannot be reached {detail}", extensions={"core": "down"})

    async def _exchange(
        self, session: aiohttp.ClientSession, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        return await session.request(
            method,
            URL(self._base + path, encoded=True),
            data=body or None,
            headers={"Accept": "application/x-ndjson", "Content-Type": "application/json", **headers},
            allow_redirects=False,
        )

    async def send(self, token: str) -> int:
        """Send the request and return the status of the response; CoreFailed when none comes in time."""
        assert self._connector is not None
        assert self._request is not None
        self._connector.token.set_result(token)
        await asyncio.wait({self._request}, timeout=self._idle_seconds)
        if not self._request.done():
            raise self._silent()
        try:
            return self._request.result().status
        except (aiohttp.ClientError, OSError):
            raise self._lost() from None

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of the response that are not empty.

        Raises
        ------
        CoreFailed
            Silence, a line or a response that is too long, or a connection lost before the end of the response.
        """
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    line = await self._read_line()
            except TimeoutError:
                raise self._silent() from None
            except (aiohttp.ClientError, OSError):
                raise self._lost() from None
            if line is None:
                return
            yield line

    async def _read_line(self) -> bytes | None:
        assert self._request is not None
        content = self._request.result().content
        buffer, searched = self._buffer, 0
        while True:
            if (end := buffer.find(b"\n", searched)) >= 0:
                line = bytes(buffer[:end]).strip()
                del buffer[: end + 1]
                searched = 0
                _check_length(len(line))
                if line:
                    return line
                continue
            searched = len(buffer)
            _check_length(searched)
            # aiohttp stops reading from the socket while its own small buffer is full, so a flood stays at the core.
            chunk = await content.readany()
            if not chunk:
                line = bytes(buffer).strip()
                buffer.clear()
                return line or None
            self._received += len(chunk)
            if self._received > MAX_RESPONSE_BYTES:
                raise self._lost()
            buffer += chunk

    def _silent(self) -> CoreFailed:
        return CoreFailed(f"the core has sent nothing for {self._idle_seconds:g} s", extensions={"core": "silent"})

    def _lost(self) -> CoreFailed:
        return CoreFailed("the connection to the core was lost", extensions={"core": "lost"})

    async def close(self) -> None:
        """Close the connection; the command at the core is not affected."""
        if self._request is not None:
            self._request.cancel()
            (response,) = await asyncio.gather(self._request, return_exceptions=True)
            if isinstance(response, aiohttp.ClientResponse):
                response.close()
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _check_length(length: int) -> None:
    if length > MAX_LINE_BYTES:
        raise CoreFailed(
            f"the core sent a line of more than {MAX_LINE_BYTES} bytes", extensions={"core": "invalid-response"}
        )
