"""A small synchronous client for the command line: standard library only, with deadlines and typed errors."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.client.errors import MAX_ANSWER, ForeignService, Garbled, Unreachable, problem_from
from aizen_hub.client.service_client import INSTANCE_HEADER
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json


class SyncClient:
    """One HTTP client for one credential.

    Parameters
    ----------
    url : str
        The address before ``/api/v1``: the service's root, or ``<hub>/services/aizen``.
    authorization : str, optional
        The value of the ``Authorization`` header, e.g. ``token …`` for a hub token.
    deadline : float
        Seconds that connecting and each read may take.
    instance : str, optional
        The instance id that every answer must carry, where it is known.
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
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send one request; returns the JSON of the answer, or None where it is empty.

        Raises
        ------
        Unreachable, ForeignService, Garbled, Problem
            As `aizen_hub.client.service_client.HubRoad`.
        """
        _, _, data = self.exchange(method, path, body, headers)
        return _json(data) if data else None

    def exchange(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """As `call`, with status and headers (lower case), for ``ETag`` and the like."""
        connection, answer = self._send(method, path, body, headers)
        try:
            data = self._read(answer)
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data
        finally:
            connection.close()

    def lines(self, method: str, path: str, body: Any = None) -> Iterator[Any]:
        """Send one request and yield the answer's JSON lines as they come; one document counts as one line."""
        connection, answer = self._send(method, path, body, {"Accept": "application/x-ndjson, application/json"})
        try:
            if answer.getheader("Content-Type", "").partition(";")[0] != "application/x-ndjson":
                yield _json(self._read(answer))
                return
            while line := self._readline(answer):
                if line.strip():
                    yield _json(line)
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        fields = {"Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode()
            fields["Content-Type"] = "application/json"
        if self._authorization:
            fields["Authorization"] = self._authorization
        connection = self._connection()
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body=data, headers=fields)
            answer = connection.getresponse()
            self._judge(answer)
        except Problem:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None
        return connection, answer

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._deadline, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=self._deadline)

    def _judge(self, answer: http.client.HTTPResponse) -> None:
        if self._instance is not None and answer.getheader(INSTANCE_HEADER) != self._instance:
            raise ForeignService(f"what answers at {self.url} is not the service that was expected")
        if answer.status >= 400:
            raise problem_from(answer.status, self._read(answer))
        if answer.status >= 300:
            raise Garbled(
                f"{self.url} answered with a redirect to another address",
                remedy="check the address of the hub, and sign in again: the token may have expired",
            )

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            data = answer.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        if len(data) > MAX_ANSWER:
            raise Garbled(f"the answer has more than {MAX_ANSWER} bytes")
        return data

    def _readline(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            line = answer.readline(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        if len(line) == MAX_ANSWER:
            raise Garbled(f"one line of the answer has more than {MAX_ANSWER} bytes")
        return line

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(f"no answer from {self.url} within {self._deadline:g} seconds")
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(f"the certificate of {self.url} was not accepted: {error.verify_message}")
        return Unreachable(f"no answer from {self.url} ({getattr(error, 'strerror', None) or type(error).__name__})")


def _json(data: bytes) -> Any:
    try:
        return strict_json.loads(data, max_bytes=MAX_ANSWER)
    except Problem as error:
        raise Garbled(f"the answer is not JSON: {error.detail}") from None
