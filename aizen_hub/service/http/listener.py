"""How connections are taken in: none is waited for too long, and nothing that it says is too long."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from aizen_hub.problems import BadInput, Unavailable
from aizen_hub.service.http.connection_limits import MAX_HEADERS, cut_off
from aizen_hub.service.pipeline import endpoint as handler
from aizen_hub.service.pipeline.endpoint import refused

IDLE_SECONDS = 120.0
"""How long a connection may say nothing, or be at its headers."""
LINGER_SECONDS = 2.0
"""How long a body is thrown away that was refused before it came."""
MAX_LINE = 8_400  # of the request, and of each header; the handler has closer limits, and words for them
MAX_HEAD = 48 << 10  # of the bytes before a head is whole, and of the requests sent ahead of an answer; likewise
READ_BYTES = 16 << 10
BUFFERED_BYTES = 4 << 10  # of each body that comes before it is asked for
SMALL_BYTES = 16 << 10
"""An answer that an empty buffer takes whole, so that nobody waits for its reader."""
BACKLOG = 1_024

log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """One connection; what is no HTTP is refused in our words, and not logged: the noise is anybody's to make (R99).

    Beside its own limits the library has none for a head as a whole, for how much is parsed in one go, or for an answer
    that nobody reads (R126, R128).
    """

    __slots__ = ("_head",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head = 0
        if hasattr(transport, "max_size"):  # of one read; asyncio's own default is 256 KiB
            transport.max_size = READ_BYTES
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        now, known = self._current_request, self._request_count
        ahead = now is not None and now.content.is_eof()
        head = self._waiter is not None or ahead
        super().data_received(data)
        if not head:  # but a body
            return
        self._head = 0 if self._request_count != known and not ahead else self._head + len(data)
        if self._head > MAX_HEAD and self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        answer = super().finish_response(request, resp, start_time)
        waits = self.transport is not None and self.transport.get_write_buffer_size()
        # A timer for each answer would cost more than most of them.
        if not waits and resp.content_length is not None and resp.content_length < SMALL_BYTES:
            return await answer
        try:
            async with asyncio.timeout(handler.READER_SECONDS):
                return await answer
        except TimeoutError:
            cut_off(request)
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status < 500:
            return refused(BadInput("this cannot be read as HTTP, or its header fields are too many or too long"))
        log.error("a request failed outside its handler", exc_info=exc)
        return refused(Unavailable("this could not be done now"))


class Listener:
    """The server of an `Intake`.

    Parameters
    ----------
    serve : async function of a request
    """

    def __init__(self, serve: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._serve = serve
        self._server: web.Server | None = None
        self._listening: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        server = self._server = web.Server(self._serve)
        options: dict[str, Any] = {
            "keepalive_timeout": IDLE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": MAX_LINE,
            "max_field_size": MAX_LINE,
            "max_headers": MAX_HEADERS,
            "read_bufsize": BUFFERED_BYTES,
        }
        for one in sockets:
            made = loop.create_server(lambda: Connection(server, loop=loop, **options), sock=one, backlog=BACKLOG)
            self._listening.append(await made)

    def stop(self) -> None:
        """Take no more connections; those that are there are still answered."""
        for one in self._listening:
            one.close()

    async def close(self, seconds: float) -> None:
        """Wait so long for what is being answered, then cut it off."""
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(seconds / 2)  # it waits twice: for the answer, and for what read the body
