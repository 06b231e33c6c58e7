"""What a request is on its connection: how long its parts may be, how long they are waited for, and when it ends."""

from __future__ import annotations

import asyncio
import select

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.web import BaseRequest, RequestPayloadError

from aizen_hub.problems import BadInput, Problem, TooLarge, Unavailable
from aizen_hub.service.http.request import joined

MAX_URL = 4096
MAX_HEADERS = 64
MAX_HEADER = 16 << 10
BODY_SECONDS = 30.0
"""How long the rest of a body is waited for."""
_VERSIONS = (HttpVersion10, HttpVersion11)
_GONE = getattr(select, "POLLRDHUP", select.POLLHUP)  # half closed is given up: aiohttp would not answer either


class BodyLate(Problem):
    """Part of the body did not come."""

    slug, title, status = "request-timeout", "The request did not come in time", 408


class NobodyWaits(Problem):
    """The connection was closed before the request was looked at; for our logs, since nobody hears it."""

    slug, title, status = "nobody-waits", "The request was given up", 408


def check_head(http: BaseRequest) -> None:
    """Refuse a head that we do not read (R126).

    Raises
    ------
    BadInput, TooLarge
    """
    headers = http.headers
    if http.version not in _VERSIONS:
        raise BadInput("only HTTP/1.1 and HTTP/1.0 are spoken here")
    if joined(headers, "Transfer-Encoding").lower() not in ("", "chunked"):
        raise BadInput("of all transfer codings only `chunked` is read")
    if len(http.raw_path) > MAX_URL:
        raise TooLarge(f"the address has more than {MAX_URL} characters")
    if sum([len(name) + len(value) for name, value in headers.items()]) > MAX_HEADER:
        raise TooLarge(f"the header fields have more than {MAX_HEADER} characters")


async def body(http: BaseRequest, limit: int) -> bytes:
    """Take the body in.

    Raises
    ------
    TooLarge, BadInput, BodyLate
    Unavailable
        The service ends before the whole of it is here.
    """
    stream = http.content
    try:
        if stream.is_eof():  # it came with its headers, as nearly always
            data = stream.read_nowait()
        else:
            data = await _slow_body(http, limit)
    except (RequestPayloadError, ConnectionError) as error:
        raise BadInput("the body is malformed, or ended too early") from error
    if len(data) > limit:
        raise TooLarge(f"the body has more than {limit} bytes")
    return data


async def _slow_body(http: BaseRequest, limit: int) -> bytes:
    if joined(http.headers, "Expect").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(data) <= limit and (chunk := await http.content.readany()):
                data += chunk
                await asyncio.sleep(0)  # what lies ready is read without waiting, however many small chunks it is
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("the service is ending") from None  # this is how the library tells who reads a body
    except TimeoutError:
        raise BodyLate(f"the body did not come within {BODY_SECONDS:g} seconds") from None
    return bytes(data)


def is_last(http: BaseRequest) -> bool:
    """Whether nothing that follows on this connection may be taken for a request.

    Where the end of this one is not certain, or what was behind it: aiohttp hands the trailers of a chunked body to
    the next request as headers, and loses what follows an upgrade.
    """
    odd = "Transfer-Encoding" in http.headers or "Upgrade" in http.headers
    return odd or http.method == "CONNECT" or http.version not in _VERSIONS


def hung_up(http: BaseRequest) -> bool:
    """Whether the other end has closed the connection, also where the event loop does not know yet.

    After this process stood still, requests lie ready whose senders gave up meanwhile, and told somebody so.
    """
    transport = http.transport
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), _GONE)
    return bool(poll.poll(0))


def cut_off(http: BaseRequest) -> None:
    """End a connection at once, with whatever is still on its way."""
    if http.transport is not None:
        http.transport.abort()
