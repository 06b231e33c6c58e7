"""The HTTP server: hardened connections of an aiohttp application on bound sockets."""

from __future__ import annotations

import asyncio
import logging
import math
import select
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from aiohttp import web

from aizen_hub.authorization.decisions.evaluation import boottime
from aizen_hub.problems import BadInput, Unavailable
from aizen_hub.service.http import connection_limits, wire_bounds
from aizen_hub.service.http.problem_response import bad_request_response

IDLE_SECONDS = 120.0
"""How long a connection may be idle, or take to send its header fields."""
LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read and discarded."""
MAX_LINE = 8_400  # of the request, and of each header; `connection_limits` has closer bounds, with a message
MAX_HEAD = 48 << 10  # of the bytes before a head is complete, and of the requests sent ahead of a response
READ_BYTES = 16 << 10
BUFFERED_BYTES = 4 << 10  # of each body that arrives before it is read
SMALL_BYTES = 16 << 10
"""A response that an empty send buffer takes whole, so that it never waits for its reader."""
BACKLOG = 1_024
GAP_SECONDS = 0.1
"""Time between two arrivals of data after which requests may have waited unread."""
WAITED_SECONDS = 5.0
"""How long requests that may have waited are handled after such a gap."""
# A half-closed connection counts as closed: aiohttp would not send the response either.
_HANGUP_EVENTS = getattr(select, "POLLRDHUP", select.POLLHUP)

log = logging.getLogger(__name__)


class ArrivalWatch:
    """Whether requests may have waited unread, for example while this process was suspended.

    Judged by gaps between arrivals. Where few requests arrive, all of them may have.

    Parameters
    ----------
    clock : callable
        In seconds; goes on while the process or the host is suspended.
    """

    def __init__(self, clock: Callable[[], float] = boottime) -> None:
        self._clock = clock
        self._last = self._waited_until = -math.inf

    def note_arrival(self) -> None:
        """Note that data arrived on a connection."""
        now = self._clock()
        if now - self._last > GAP_SECONDS:
            self._waited_until = now + WAITED_SECONDS
        self._last = now

    @property
    def may_have_waited(self) -> bool:
        """Whether what arrived last may have waited."""
        return self._last < self._waited_until


arrivals = ArrivalWatch()


class HardenedConnection(web.RequestHandler):
    """One connection, with the bounds that aiohttp does not have.

    It bounds a head as a whole, how much is parsed at once, and how long a response waits for its reader (R126, R128).
    Bytes that are not HTTP are refused with a problem document and not logged, since any client can send any number of
    them (R99).
    """

    __slots__ = ("_hangup_poll", "_head_bytes")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head_bytes = 0
        self._hangup_poll = select.poll()
        self._hangup_poll.register(transport.get_extra_info("socket"), _HANGUP_EVENTS)
        wire_bounds.limit_read_size(transport, READ_BYTES)
        super().connection_made(transport)

    @property
    def is_closed_by_client(self) -> bool:
        """Whether the client closed the connection, also where the event loop has not noticed yet.

        After this process was suspended, requests are buffered whose senders gave up meanwhile and reported a failure.
        Asking the system costs as much as the rest of what is done here for a request, so it is asked only then.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return True
        return arrivals.may_have_waited and bool(self._hangup_poll.poll(0))

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp goes on with what it has, at every body that is read
            super().data_received(data)
            return
        arrivals.note_arrival()
        count, ahead = wire_bounds.request_count(self), wire_bounds.is_body_complete(self)
        at_head = wire_bounds.is_at_head(self)
        super().data_received(data)
        if not at_head:
            return
        is_complete = wire_bounds.request_count(self) != count and not ahead
        self._head_bytes = 0 if is_complete else self._head_bytes + len(data)
        if self._head_bytes > MAX_HEAD and self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        sending = super().finish_response(request, resp, start_time)
        unsent = self.transport is not None and self.transport.get_write_buffer_size()
        # A timer for each response would cost more than sending most of them.
        body = resp.body if isinstance(resp, web.Response) else None
        if not unsent and isinstance(body, bytes) and len(body) < SMALL_BYTES:
            return await sending
        try:
            async with asyncio.timeout(connection_limits.READER_SECONDS):
                return await sending
        except TimeoutError:
            connection_limits.abort(request)
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun already")
        if status < 500:
            problem = BadInput("this cannot be read as HTTP, or its header fields are too many or too long")
            return bad_request_response(problem)
        log.error("a request failed outside its handler", exc_info=exc)
        return bad_request_response(Unavailable("this could not be done now"))


class HardenedRunner(web.AppRunner):
    """Runs an application on hardened connections."""

    @property
    def server(self) -> web.Server | None:
        """What a site calls to make the protocol of each connection."""
        server = super().server
        if server is None:
            return None
        options: dict[str, Any] = {
            "keepalive_timeout": IDLE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": MAX_LINE,
            "max_field_size": MAX_LINE,
            "max_headers": connection_limits.MAX_HEADERS,
            "read_bufsize": BUFFERED_BYTES,
        }
        factory = partial(HardenedConnection, server, loop=asyncio.get_running_loop(), **options)
        return cast("web.Server", factory)


class Listener:
    """The HTTP server of one application.

    Parameters
    ----------
    app : aiohttp.web.Application
    drain_seconds : float
        How long `close` waits for responses under way.
    """

    def __init__(self, app: web.Application, drain_seconds: float = 5.0) -> None:
        # aiohttp waits twice: for the responses, and for handlers that still read a body.
        self._runner = HardenedRunner(app, shutdown_timeout=drain_seconds / 2)
        self._sockets: Sequence[socket.socket] = ()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on bound sockets."""
        await self._runner.setup()
        self._sockets = sockets
        for bound in sockets:
            await web.SockSite(self._runner, bound, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Accept no more connections; open ones are still served."""
        loop = asyncio.get_running_loop()
        for bound in self._sockets:
            loop.remove_reader(bound)
        self._sockets = ()
        # An asyncio server that is closed drops what it accepted in the same turn of the loop; this one completes it.
        await asyncio.sleep(0)
        for site in self._runner.sites:
            await site.stop()

    async def close(self) -> None:
        """Wait for the responses under way, then close every connection."""
        await self._runner.cleanup()
