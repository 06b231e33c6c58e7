"""What a service answers while it starts: its port is open before its database, which may take long to open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from aizen_hub.problems import Problem, Unavailable
from aizen_hub.service.http import connection_limits
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.listener import Listener
from aizen_hub.service.http.problem_response import encode_json, problem_response
from aizen_hub.service.http.request_parsing import raw_path
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.http.standard_headers import StandardHeaders
from aizen_hub.service.panel.rendering import HEADERS, render_problem_page
from aizen_hub.service.panel.static_files import read_static_file
from aizen_hub.service.pipeline.endpoint import raw_response

HOLD_SECONDS = 10.0
"""How long the first page of the panel is held back, which a hub requests to learn whether its service has started.

A hub ends where the service that it starts ends before it has answered. So a configuration that stops the service at
once still stops the hub, and a start that takes long does not.
"""
LINGER_SECONDS = 5.0
MAX_BODY = 2 << 20


class StartupListener:
    """Answers requests until the application of the service can.

    It says that the process is alive, and that everything else has to wait.

    Parameters
    ----------
    instance : str
        Random id of this process, sent with every response.
    prefix : str
        Path of the service below the hub's proxy, with a slash at both ends.
    hub_address : str
        Address of the hub's pages, for the links of a page.
    """

    def __init__(self, instance: str, prefix: str, hub_address: str) -> None:
        self._instance, self._prefix, self._hub_address = instance, prefix, hub_address
        self._headers = StandardHeaders(instance, prefix)
        self._started = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:(?s:.*)}", self._respond)
        self._listener = Listener(app, drain_seconds=1.0)
        self._closing: asyncio.Task[None] | None = None

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on copies of bound sockets: connections that wait there are served by the application."""
        await self._listener.start([bound.dup() for bound in sockets])

    async def stop(self) -> None:
        """Accept no more connections, and answer what is held back; the sockets are left to the application.

        A connection that was accepted and has not sent its request yet is closed only some seconds later.
        """
        self._started.set()
        await self._listener.stop()
        self._closing = asyncio.create_task(self._close_later())

    async def _close_later(self) -> None:
        await asyncio.sleep(LINGER_SECONDS)
        await self._listener.close()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        path = raw_path(request)
        try:
            connection_limits.check_head(request)
            # A connection that is closed before it was read to its end loses the response.
            await connection_limits.read_body(request, MAX_BODY)
            response = await self._response(request, path)
        except Problem as problem:
            response = problem_response(problem)
        self._headers.add_to(response.headers, path)
        response.force_close()
        return response

    async def _response(self, request: web.Request, path: str) -> web.Response:
        if path == "/livez":
            body = encode_json({"status": "alive", "instance": self._instance})
            return raw_response(RawResponse(body, "application/json"))
        problem = Unavailable(
            "the access service is starting",
            remedy="try again in a moment",
            extensions={"starting": True, "instance": self._instance},
        )
        if not path.startswith(self._prefix) or path.startswith(f"{self._prefix}api/"):
            return problem_response(problem)
        page = path.removeprefix(self._prefix)
        if page.startswith("static/"):
            return raw_response(read_static_file(page.removeprefix("static/")))
        status = HTTPStatus.SERVICE_UNAVAILABLE
        if not page and request.method == "GET":
            if await self._has_started():
                return raw_response(RawResponse(b"", HTML, {"Location": path}, HTTPStatus.TEMPORARY_REDIRECT))
            status = HTTPStatus.OK
        text = render_problem_page(problem, page, self._prefix, self._hub_address)
        return raw_response(RawResponse(text.encode(), HTML, {**HEADERS, "Retry-After": "1"}, status))

    async def _has_started(self) -> bool:
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                return await self._started.wait()
        except TimeoutError:
            return False
