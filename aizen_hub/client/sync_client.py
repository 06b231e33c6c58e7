"""Synchronous client of the service for the command line: standard library only, with deadlines and typed errors."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.api_models.headers import INSTANCE_HEADER
from aizen_hub.client.errors import (
    MAX_RESPONSE,
    REPEAT_PAUSES,
    ConnectionLost,
    ForeignService,
    InvalidResponse,
    Unreachable,
    parse_problem,
)
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

_MAX_MEMBERS = 200_000  # an exported policy has as many as one may have that is applied


class SyncClient:
    """A client of the service for one credential.

    Parameters
    ----------
    url : str
        The address before ``/api/v1``: the service's root, or ``<hub>/services/aizen``.
    authorization : str, optional
        The value of the ``Authorization`` header, e.g. ``token …`` for a hub token.
    deadline : float
        Seconds that connecting and each read may take.
    instance : str, optional
        The instance id that every response must carry, where it is known.
    """

    def __init__(
        self, url: str, authorization: str | None = None, *, deadline: float = 10.0, instance: str | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"`{url}` is not an http or https address")
        self.url = url.rstrip("/")
        self._parts = parts
        self._authorization = authorization
        self._deadline = deadline
        self._instance = instance or None

    def __repr__(self) -> str:
        return f"SyncClient({self.url!r})"

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.request("POST", path, body)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeat: bool = False,
    ) -> Any:
        """Send one request; return the JSON value of the response, or None where it is empty.

        Parameters
        ----------
        repeat : bool
            For a write whose route takes an ``Idempotency-Key``: send it again with the same key if the connection is
            lost, up to twice. A GET is sent again in any case.

        Raises
        ------
        Unreachable, ForeignService, InvalidResponse, Problem
            As `aizen_hub.client.service_client.ServiceClient`.
        """
        if repeat:
            headers = {"Idempotency-Key": secrets.token_hex(16), **(headers or {})}
        for pause in REPEAT_PAUSES if repeat or method == "GET" else ():
            try:
                _, _, data = self.request_with_headers(method, path, body, headers)
                break
            except ConnectionLost:
                time.sleep(pause)
        else:
            _, _, data = self.request_with_headers(method, path, body, headers)
        return parse_json(data) if data else None

    def request_with_headers(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; return status, headers (lower case) and body."""
        connection, response = self._send(method, path, body, headers)
        try:
            data = self._read(response)
            return response.status, {name.lower(): value for name, value in response.getheaders()}, data
        finally:
            connection.close()

    def stream_lines(self, method: str, path: str, body: Any = None) -> Iterator[Any]:
        """Send one request and yield the JSON lines of the response as they arrive; one document counts as one line."""
        connection, response = self._send(method, path, body, {"Accept": "application/x-ndjson, application/json"})
        try:
            if response.getheader("Content-Type", "").partition(";")[0] != "application/x-ndjson":
                yield parse_json(self._read(response))
                return
            while line := self._readline(response):
                if line.strip():
                    yield parse_json(line)
        finally:
            connection.close()

    def probe(self) -> tuple[int, Mapping[str, str]]:
        """Send a GET request for the address itself, without the credential; return status and headers (lower case).

        Raises
        ------
        Unreachable
        """
        connection = self._connect()
        try:
            connection.request("GET", self._parts.path or "/", headers={"Host": self._host, "Accept": "text/html"})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}
        except (OSError, http.client.HTTPException) as error:
            raise self._to_unreachable(error) from None
        finally:
            connection.close()

    @property
    def _host(self) -> str:
        return self._parts.netloc.rpartition("@")[2]

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        fields = {"Host": self._host, "Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode()
            fields["Content-Type"] = "application/json"
        if self._authorization:
            fields["Authorization"] = self._authorization
        connection = self._connect()
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body=data, headers=fields)
            response = connection.getresponse()
            self._check_response(response)
        except Problem:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._to_unreachable(error) from None
        return connection, response

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if host.endswith(".localhost") and self._parts.scheme == "http":
            host = "127.0.0.1"  # as browsers do (RFC 6761, 6.3); many resolvers do not know these names
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._deadline, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=self._deadline)

    def _check_response(self, response: http.client.HTTPResponse) -> None:
        if self._instance is not None and response.getheader(INSTANCE_HEADER) != self._instance:
            raise ForeignService(f"the process at {self.url} is not the expected service")
        if response.status >= 400:
            problem = parse_problem(response.status, self._read(response))
            why = problem.extensions.get("why")
            if isinstance(why, str) and why.startswith("/"):
                # The service knows only the path where the hub has no public address.
                problem.extensions["why"] = f"{self._parts.scheme}://{self._host}{why}"
            raise problem
        if response.status >= 300:
            raise InvalidResponse(
                f"{self.url} responded with a redirect to another address",
                remedy="check the address of the hub, and sign in again: the token may have expired",
            )

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            data = response.read(MAX_RESPONSE + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._to_unreachable(error) from None
        if len(data) > MAX_RESPONSE:
            raise InvalidResponse(f"the response has more than {MAX_RESPONSE} bytes")
        return data

    def _readline(self, response: http.client.HTTPResponse) -> bytes:
        try:
            line = response.readline(MAX_RESPONSE)
        except (OSError, http.client.HTTPException) as error:
            raise self._to_unreachable(error) from None
        if len(line) == MAX_RESPONSE:
            raise InvalidResponse(f"one line of the response has more than {MAX_RESPONSE} bytes")
        return line

    def _to_unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(f"no response from {self.url} within {self._deadline:g} seconds")
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(f"the certificate of {self.url} was rejected: {error.verify_message}")
        return ConnectionLost(
            f"no response from {self.url} ({getattr(error, 'strerror', None) or type(error).__name__})"
        )


def parse_json(data: bytes) -> Any:
    """Return the JSON value of a response; raises InvalidResponse."""
    try:
        return strict_json.loads(data, max_bytes=MAX_RESPONSE, max_keys=_MAX_MEMBERS)
    except Problem as error:
        raise InvalidResponse(f"the response is not JSON: {error.detail}") from None
