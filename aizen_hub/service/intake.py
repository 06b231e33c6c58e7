"""How requests are taken in: connections that are not waited for too long, and addresses that are found at once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate

from aizen_hub.service.handler import Endpoint
from aizen_hub.service.route import Route

if TYPE_CHECKING:
    from aizen_hub.service.house import House

IDLE_SECONDS = 120.0
"""How long a connection may say nothing, or be at its headers."""
BODY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Address:
    """One address on one side of the proxy, with what it does by method; without methods there is nothing."""

    routes: Mapping[str, Route]
    proxied: bool = False


NOWHERE = Address({})


class Intake(HTTPServerConnectionDelegate):
    """Gives each request its `Endpoint`.

    Parameters
    ----------
    house : House
    addresses : mapping of str to Address
        By path, with ``{members}``. Those without members are found by one look-up, the others are tried in order.
    note : callable
        Gets each endpoint that has answered, for figures and logs.
    """

    def __init__(self, house: House, addresses: Mapping[str, Address], note: Callable[[Endpoint], None]) -> None:
        self.house, self.note = house, note
        self.serving: set[Endpoint] = set()
        self._fixed = {path: address for path, address in addresses.items() if "{" not in path}
        self._patterns = [(re.compile(_pattern(path)), one) for path, one in addresses.items() if "{" in path]

    def find(self, path: str) -> tuple[Address, Sequence[str]]:
        """Return the address of a path, and its members as they were sent."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, ()
        for pattern, address in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                return address, found.groups()
        return NOWHERE, ()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        self.house.reading[server_conn] = time.monotonic() + IDLE_SECONDS
        return Endpoint(self, request_conn, server_conn)

    def begun(self, server_conn: object) -> None:
        """Note that headers have come and a body is on its way."""
        self.house.reading[server_conn] = time.monotonic() + BODY_SECONDS

    def on_close(self, server_conn: object) -> None:
        """Note that a request is here, or will never be."""
        self.house.reading.pop(server_conn, None)


class Listener(HTTPServer):
    """The server of an `Intake`.

    Tornado's own timeout for headers costs a timer per request; ours are looked through every few seconds, see
    `House.reading`.
    """

    def initialize(self, request_callback: Intake, **limits: Any) -> None:  # type: ignore[override]
        super().initialize(request_callback, **limits)
        self.conn_params.header_timeout = None

    def on_close(self, server_conn: object) -> None:
        super().on_close(server_conn)
        self.request_callback.on_close(server_conn)  # type: ignore[union-attr]


def _pattern(path: str) -> str:
    return "/".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in path.split("/"))
