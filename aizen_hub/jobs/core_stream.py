"""One HTTP/1.1 exchange with the core whose answer is read line by line, with a deadline on every wait."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

from aizen_hub.jobs.core_event import MAX_LINE
from aizen_hub.problems import CoreFailed

MAX_STREAM = 64 << 20
_MAX_HEADER = 16 * 1024
_MAX_WAITING = 64


class _Lines(HTTPMessageDelegate):
    """Cuts what arrives into lines; stops reading from the socket while too many wait."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.lines: deque[bytes] = deque()
        self.ended = False
        self.complete = False
        self.too_long = False
        self.changed = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self._rest = bytearray()

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        assert isinstance(start_line, ResponseStartLine)
        if start_line.code >= 200:
            self.status = start_line.code
            self.changed.set()

    async def data_received(self, chunk: bytes) -> None:
        searched = len(self._rest)
        self._rest += chunk
        while (end := self._rest.find(b"\n", searched)) >= 0:
            line = bytes(self._rest[:end]).strip()
            del self._rest[: end + 1]
            searched = 0
            if line:
                self.lines.append(line)
                self.too_long = self.too_long or len(line) > MAX_LINE
        self.too_long = self.too_long or len(self._rest) > MAX_LINE
        self.changed.set()
        if self.too_long or len(self.lines) > _MAX_WAITING:
            self.room.clear()
            await self.room.wait()

    def finish(self) -> None:
        if rest := bytes(self._rest).strip():
            self.lines.append(rest)
        self.complete = True
        self.on_connection_close()

    def on_connection_close(self) -> None:
        self.ended = True
        self.changed.set()


class CoreStream:
    """A connection to the core: first ``connect``, then ``send`` once, then ``lines``.

    Connecting is a step of its own so that the last decision can stand between it and the first byte of the command.

    Parameters
    ----------
    url : str
        Address of the core, ``http://`` or ``https://``.
    connect_seconds, idle_seconds : float
        Longest wait for the connection, and for each next line.
    """

    def __init__(self, url: str, *, connect_seconds: float, idle_seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CoreFailed("the address of the core is not an http or https address")
        self._host, self._netloc, self._base = parts.hostname, parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._connect_seconds, self._idle_seconds = connect_seconds, idle_seconds
        self._stream: IOStream | None = None
        self._answer = _Lines()
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Open the connection; CoreFailed when that does not work in time."""
        try:
            self._stream = await TCPClient().connect(
                self._host, self._port, ssl_options=self._tls, timeout=self._connect_seconds
            )
        except (OSError, StreamClosedError, TimeoutError) as error:
            what = "in time" if isinstance(error, TimeoutError) else f"({type(error).__name__})"
            raise CoreFailed(f"the core cannot be reached {what}", more={"core": "down"}) from None

    async def send(self, method: str, path: str, token: str, body: bytes = b"") -> int:
        """Send the request and return the status of the answer; CoreFailed when none comes in time."""
        assert self._stream is not None
        connection = HTTP1Connection(
            self._stream, True, HTTP1ConnectionParameters(max_header_size=_MAX_HEADER, max_body_size=MAX_STREAM)
        )
        headers = HTTPHeaders(
            {
                "Host": self._netloc,
                "Authorization": f"Bearer {token}",
                "Accept": "application/x-ndjson",
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
        )
        try:
            sent = connection.write_headers(RequestStartLine(method, self._base + path, "HTTP/1.1"), headers, body)
            self._reading = asyncio.create_task(self._read(connection))
            await asyncio.wait_for(sent, self._idle_seconds)
        except (StreamClosedError, TimeoutError):
            raise self._lost() from None
        connection.finish()
        await self._until(lambda: self._answer.status is not None)
        if self._answer.status is None:
            raise self._lost()
        return self._answer.status

    async def _read(self, connection: HTTP1Connection) -> None:
        try:
            await connection.read_response(self._answer)
        except (StreamClosedError, OSError, ValueError):
            # Told to the reader of the lines below; what broke it is the peer's affair.
            pass
        finally:
            self._answer.on_connection_close()

    async def _until(self, condition: Callable[[], bool]) -> None:
        answer = self._answer
        try:
            async with asyncio.timeout(self._idle_seconds):
                while not (condition() or answer.ended or answer.too_long):
                    answer.changed.clear()
                    await answer.changed.wait()
        except TimeoutError:
            raise CoreFailed(
                f"the core has said nothing for {self._idle_seconds:g} s", more={"core": "silent"}
            ) from None

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines of the answer.

        Raises
        ------
        CoreFailed
            Silence, a line that is too long, or a connection lost before the answer's end.
        """
        answer = self._answer
        while True:
            await self._until(lambda: bool(answer.lines))
            if answer.too_long:
                raise CoreFailed(f"the core answers a line of more than {MAX_LINE} bytes", more={"core": "rubbish"})
            if not answer.lines:
                if answer.complete:
                    return
                raise self._lost()
            line = answer.lines.popleft()
            if len(answer.lines) <= _MAX_WAITING // 2:
                answer.room.set()
            yield line

    def _lost(self) -> CoreFailed:
        return CoreFailed("the connection to the core was lost", more={"core": "lost"})

    async def close(self) -> None:
        """Close the connection; what the core does with its job is not touched."""
        if self._stream is not None:
            self._stream.close()
        self._answer.room.set()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
