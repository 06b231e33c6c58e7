"""How a request is taken in: an address without members by one look-up, and a small body in one piece."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application, URLSpec

from aizen_hub.service.handler import JSON, Endpoint, Streamed

if TYPE_CHECKING:
    from aizen_hub.service.house import House

SMALL = 16 << 10


class Intake(Application):
    """An application whose fixed addresses are found without trying every pattern.

    Parameters
    ----------
    specs : list of URLSpec
        All addresses.
    fixed : mapping of str to dict
        Those without members, with the arguments of their handler.
    """

    def __init__(self, specs: list[URLSpec], fixed: Mapping[str, dict[str, Any]], **settings: Any) -> None:
        super().__init__(specs, **settings)
        self._fixed = fixed

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:  # type: ignore[override]
        given = self._fixed.get(request.path)
        if given is None:
            return super().find_handler(request, **kwargs)
        if not is_small(request.headers):
            return self.get_handler_delegate(request, Streamed, given)
        return _Whole(given["house"], request, self.get_handler_delegate(request, Endpoint, given))


def is_small(headers: HTTPHeaders) -> bool:
    """Tell whether a body of JSON is declared so small that no limit of any route is passed by taking it in."""
    length = headers.get("Content-Length", "")
    return (
        length.isascii()
        and length.isdigit()
        and len(length) < 6
        and int(length) <= SMALL
        and "Transfer-Encoding" not in headers
        and headers.get("Content-Type", "") == JSON
    )


class _Whole(HTTPMessageDelegate):
    """Notes that a body is on its way, so that whoever sends it too slowly is hung up on."""

    def __init__(self, house: House, request: HTTPServerRequest, inner: HTTPMessageDelegate) -> None:
        self._reading, self._request, self._inner = house.reading, request, inner

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._reading[self] = time.monotonic()
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._reading.pop(self, None)
        self._inner.finish()

    def on_connection_close(self) -> None:
        self._reading.pop(self, None)
        self._inner.on_connection_close()

    def hang_up(self) -> None:
        self._request.connection.close()  # type: ignore[union-attr]
