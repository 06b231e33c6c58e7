"""Bounds on the wire for which aiohttp has no public hook: the only use of its private attributes.

aiohttp bounds each header line and their number, but not the head of a request as a whole, nor the requests that are
sent ahead of a response, nor the size of one read (R126, R128). To count the bytes of a head one has to know whether a
connection is at a head or at a body, which only its private state tells. ``pyproject.toml`` therefore has an upper
bound on aiohttp, and ``tests/service/http/test_wire_bounds.py`` checks that these attributes exist.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

PRIVATE_ATTRIBUTES = ("_current_request", "_request_count", "_waiter")
"""Of `aiohttp.web.RequestHandler`, as used below."""


def is_at_head(connection: web.RequestHandler) -> bool:
    """Whether the next bytes belong to the head of a request, not to a body."""
    return connection._waiter is not None or is_body_complete(connection)


def is_body_complete(connection: web.RequestHandler) -> bool:
    """Whether a request is handled whose body is complete, so that the next bytes are sent ahead of its response."""
    request = connection._current_request
    return request is not None and request.content.is_eof()


def request_count(connection: web.RequestHandler) -> int:
    """Return the number of requests that were parsed on this connection."""
    return connection._request_count


def limit_read_size(transport: asyncio.BaseTransport, size: int) -> None:
    """Bound the bytes of one read; the default of asyncio's socket transports is 256 KiB."""
    if hasattr(transport, "max_size"):
        transport.max_size = size
