"""HTTP with time limits from the standard library; follows no redirects and uses no proxy."""

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

from aizen_hub.notebook import pod_token
from aizen_hub.notebook.errors import ProblemResponseError, ResponseInterruptedError, ServiceUnreachableError

CONNECT_SECONDS = 5.0
RESPONSE_SECONDS = 30.0
IDLE_SECONDS = 300.0
MAX_RESPONSE_BYTES = 16 << 20
MAX_LINE_BYTES = 1 << 20
_GATEWAY_STATUSES = frozenset({502, 503, 504})


class HttpResponse:
    """The response to one request: ``json()`` reads it whole, ``lines()`` line by line."""

    def __init__(self, response: http.client.HTTPResponse, peer: socket.socket) -> None:
        self._response, self._peer = response, peer
        self.status = response.status
        self.content_type = response.headers.get_content_type()

    def json(self) -> Any:
        """Return the JSON value.

        Raises
        ------
        ServiceUnreachableError
            The body is not JSON.
        ResponseInterruptedError
            The body is incomplete.
        """
        try:
            data = self._response.read(MAX_RESPONSE_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ResponseInterruptedError(f"the response of the service broke off ({type(error).__name__})") from None
        if self._response.length and len(data) <= MAX_RESPONSE_BYTES:
            # A bounded read does not report an incomplete body; the length that is still expected does.
            raise ResponseInterruptedError("the response of the service broke off")
        return _parse_json(data, MAX_RESPONSE_BYTES)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield one object per line.

        Raises
        ------
        ResponseInterruptedError
            The stream broke off, was silent for too long, or is not valid.
        """
        self._peer.settimeout(IDLE_SECONDS)
        while True:
            try:
                line = self._response.readline(MAX_LINE_BYTES + 1)
            except TimeoutError:
                raise ResponseInterruptedError(f"no data from the service for {IDLE_SECONDS:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                raise ResponseInterruptedError(
                    f"the connection to the service was lost ({type(error).__name__})"
                ) from None
            if not line:
                return
            if line.strip():
                try:
                    value = _parse_json(line, MAX_LINE_BYTES)
                except ServiceUnreachableError as error:
                    # The command has started, so this must not be reported as "nothing was executed".
                    raise ResponseInterruptedError(str(error)) from None
                if isinstance(value, dict):
                    yield value


class Transport:
    """Requests to one address.

    Parameters
    ----------
    url : str
        Root address of the service.
    pod_token_file : str, optional
        Sent with every request, see `pod_token`.
    """

    def __init__(self, url: str, pod_token_file: str | None = None) -> None:
        self.url, self._pod_token_file = url.rstrip("/"), pod_token_file
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceUnreachableError(f"AIZEN_URL is not a valid address: {url[:200]!r}")
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
        seconds: float = RESPONSE_SECONDS,
    ) -> Iterator[HttpResponse]:
        """Send a request; the response must be complete, or have started to stream, within ``seconds``.

        Raises
        ------
        ServiceUnreachableError
            The connection failed; nothing was sent.
        ResponseInterruptedError
            The request was sent, but there was no response.
        ProblemResponseError
            The service responded with a problem document.
        """
        headers = {**(headers or {}), **pod_token.read_header(self._pod_token_file)}
        connection = self._connect(min(CONNECT_SECONDS, seconds))
        peer = connection.sock
        timed_out = threading.Event()

        def shut_down() -> None:
            timed_out.set()
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

        # A socket timeout limits one read; only a timer limits a response that arrives byte by byte.
        watchdog = threading.Timer(seconds, shut_down)
        watchdog.daemon = True
        watchdog.start()
        try:
            peer.settimeout(seconds)
            try:
                connection.request(method, self._path + path, body=body, headers=headers)
                response = HttpResponse(connection.getresponse(), peer)
            except (OSError, http.client.HTTPException) as error:
                # Either of the two limits may come first.
                is_late = timed_out.is_set() or isinstance(error, TimeoutError)
                reason = f"no response within {seconds:g} s" if is_late else type(error).__name__
                raise ResponseInterruptedError(f"the service did not respond ({reason})") from None
            if response.content_type == "application/x-ndjson":
                watchdog.cancel()
            _raise_for_status(response)
            yield response
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
            raise ServiceUnreachableError(
                f"the service at {self.url} cannot be reached ({type(error).__name__})"
            ) from None
        return connection


def _raise_for_status(response: HttpResponse) -> None:
    if response.status < 300:
        return
    if response.status < 400:
        raise ServiceUnreachableError(
            f"the service responded with {response.status}, a redirect, which is not followed"
        )
    document: Any = {}
    if response.content_type in ("application/problem+json", "application/json"):
        document = response.json()
    elif response.status in _GATEWAY_STATUSES:
        # What a load balancer says in place of a replica that ended while it had the request.
        raise ResponseInterruptedError(f"the service did not respond (its load balancer says {response.status})")
    if not isinstance(document, dict) or not document:
        document = {"title": f"the service responded with status {response.status}"}
    raise ProblemResponseError(document, response.status)


def _parse_json(data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise ServiceUnreachableError(f"the response of the service is larger than {limit} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ServiceUnreachableError("the response from the address of the service is not JSON") from None
