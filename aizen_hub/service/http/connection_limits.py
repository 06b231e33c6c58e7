"""Bounds of one request on its connection: length of its parts, time to receive them, and when the connection ends."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion10, HttpVersion11, hdrs
from aiohttp.web import BaseRequest, RequestPayloadError

from aizen_hub.problems import BadInput, Problem, TooLarge, Unavailable
from aizen_hub.service.http.headers import joined_header

MAX_URL = 4096
MAX_HEADERS = 64
MAX_HEADER = 16 << 10
BODY_SECONDS = 30.0
"""How long the rest of a body is waited for."""
READER_SECONDS = 30.0
"""How long a response, or a line of a stream, waits for a client that does not read."""
_VERSIONS = (HttpVersion10, HttpVersion11)


class RequestTimeout(Problem):
    """Part of the body did not arrive."""

    slug, title, status = "request-timeout", "The request did not come in time", 408


class ClientDisconnected(Problem):
    """The connection was closed before the request was handled; for our logs, since no client receives it."""

    slug, title, status = "client-disconnected", "The client closed the connection", 408


def check_head(request: BaseRequest) -> None:
    """Refuse a request line or header fields outside our bounds (R126).

    Raises
    ------
    BadInput, TooLarge
    """
    headers = request.headers
    if request.version not in _VERSIONS:
        raise BadInput("only HTTP/1.1 and HTTP/1.0 are supported")
    if hdrs.TRANSFER_ENCODING in headers and joined_header(headers, hdrs.TRANSFER_ENCODING).lower() != "chunked":
        raise BadInput("the only supported transfer coding is `chunked`")
    if len(request.raw_path) > MAX_URL:
        raise TooLarge(f"the address has more than {MAX_URL} characters")
    if len("".join(headers)) + len("".join(headers.values())) > MAX_HEADER:
        raise TooLarge(f"the header fields have more than {MAX_HEADER} characters")


def check_content_length(request: BaseRequest, limit: int) -> None:
    """Refuse a body that is announced as too long before it is received.

    Raises
    ------
    TooLarge
    """
    if int(request.headers.get(hdrs.CONTENT_LENGTH, 0)) > limit:  # digits only: the HTTP parser checked it
        raise TooLarge(f"the body has more than {limit} bytes")


async def read_body(request: BaseRequest, limit: int) -> bytes:
    """Receive the body.

    Raises
    ------
    TooLarge, BadInput, RequestTimeout
    Unavailable
        The service stops before the body is complete.
    """
    stream = request.content
    try:
        if stream.is_eof():  # it arrived with its headers, as nearly always
            data = stream.read_nowait()
        else:
            data = await _read_slow_body(request, limit)
    except (RequestPayloadError, ConnectionError) as error:
        raise BadInput("the body is malformed, or ended too early") from error
    if len(data) > limit:
        raise TooLarge(f"the body has more than {limit} bytes")
    return data


async def _read_slow_body(request: BaseRequest, limit: int) -> bytes:
    if joined_header(request.headers, "Expect").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(data) <= limit and (chunk := await request.content.readany()):
                data += chunk
                await asyncio.sleep(0)  # buffered chunks are read without waiting, however many and small they are
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("the service is stopping") from None  # aiohttp cancels the reader of a body at shutdown
    except TimeoutError:
        raise RequestTimeout(f"the body did not come within {BODY_SECONDS:g} seconds") from None
    return bytes(data)


def must_close(request: BaseRequest) -> bool:
    """Whether bytes that follow on this connection must not be read as another request.

    True where the end of this request is ambiguous: aiohttp attaches the trailers of a chunked body to the next request
    as headers, and loses what follows an upgrade.
    """
    headers = request.headers
    ambiguous = hdrs.TRANSFER_ENCODING in headers or hdrs.UPGRADE in headers
    return ambiguous or request.method == hdrs.METH_CONNECT or request.version not in _VERSIONS


def abort(request: BaseRequest) -> None:
    """Close the connection at once, with whatever is still buffered."""
    if request.transport is not None:
        request.transport.abort()
