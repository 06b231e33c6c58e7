"""HTTP with a deadline on every wait, from the standard library; follows no redirect and asks no proxy."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.notebook.errors import Interrupted, Refused, Unreachable

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 300.0
MAX_ANSWER = 16 << 20
MAX_LINE = 1 << 20


class Answer:
    """The answer to one request: ``json()`` the whole, or ``lines()`` as they come."""

    def __init__(self, response: http.client.HTTPResponse, peer: socket.socket) -> None:
        self._response, self._peer = response, peer
        self.status = response.status
        self.kind = response.headers.get_content_type()

    def json(self) -> Any:
        """Return the JSON value; Unreachable when it is none, Interrupted when it breaks off."""
        try:
            data = self._response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(f"the answer of the service broke off ({type(error).__name__})") from None
        if self._response.length and len(data) <= MAX_ANSWER:
            # Reading a bounded piece does not tell a cut answer from a whole one; what is still expected does.
            raise Interrupted("the answer of the service broke off")
        return _read(data, MAX_ANSWER)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield one object per line; Interrupted when the stream breaks off, falls silent or makes no sense."""
        self._peer.settimeout(IDLE_SECONDS)
        while True:
            try:
                line = self._response.readline(MAX_LINE + 1)
            except TimeoutError:
                raise Interrupted(f"the service has said nothing for {IDLE_SECONDS:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                raise Interrupted(f"the connection to the service was lost ({type(error).__name__})") from None
            if not line:
                return
            if line.strip():
                try:
                    value = _read(line, MAX_LINE)
                except Unreachable as error:
                    # Something was sent and begun, so "nothing was carried out" would be wrong.
                    raise Interrupted(str(error)) from None
                if isinstance(value, dict):
                    yield value


class Transport:
    """Requests to one address.

    Parameters
    ----------
    url : str
        Root address of the service.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"AIZEN_URL is not the address of a service: {url[:200]!r}")
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Iterator[Answer]:
        """Send a request; the answer must have come whole, or begun to stream, within ``seconds``.

        Raises
        ------
        Unreachable
            No connection; nothing was sent.
        Interrupted
            Sent, but no answer came.
        Refused
            The service answered with a problem document.
        """
        connection = self._connect(min(CONNECT_SECONDS, seconds))
        peer = connection.sock
        late = threading.Event()

        def give_up() -> None:
            late.set()
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

        # A timeout on the socket bounds one wait; only a watchdog bounds an answer that drips.
        watchdog = threading.Timer(seconds, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            peer.settimeout(seconds)
            try:
                connection.request(method, self._path + path, body=body, headers=dict(headers or {}))
                answer = Answer(connection.getresponse(), peer)
            except (OSError, http.client.HTTPException) as error:
                why = f"no answer within {seconds:g} s" if late.is_set() else type(error).__name__
                raise Interrupted(f"the service did not answer ({why})") from None
            if answer.kind == "application/x-ndjson":
                watchdog.cancel()
            _check(answer)
            yield answer
        finally:
            watchdog.cancel()
            connection.close()
            peer.close()

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Unreachable(f"the service at {self.url} cannot be reached ({type(error).__name__})") from None
        return connection


def _check(answer: Answer) -> None:
    if answer.status < 300:
        return
    if answer.status < 400:
        raise Unreachable(f"the service answers {answer.status}, a redirect, which is never followed")
    document: Any = {}
    if answer.kind in ("application/problem+json", "application/json"):
        document = answer.json()
    if not isinstance(document, dict) or not document:
        document = {"title": f"the service answered {answer.status}"}
    raise Refused(document, answer.status)


def _read(data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise Unreachable(f"the service answered more than {limit} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Unreachable("what answers at the service's address does not speak JSON") from None
