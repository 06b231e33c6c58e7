"""Client of the service inside a user server: commands, catalog, role requests and the user's identity."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import quote

from aizen_hub.notebook import pod_token
from aizen_hub.notebook.command_catalog import CommandCatalog
from aizen_hub.notebook.errors import (
    AizenError,
    ProblemResponseError,
    ResponseInterruptedError,
    ServiceUnreachableError,
)
from aizen_hub.notebook.files import find_file_names, read_file
from aizen_hub.notebook.local_days import find_day_ends
from aizen_hub.notebook.role_token import RoleTokenSource
from aizen_hub.notebook.traces import trace_command
from aizen_hub.notebook.transport import RESPONSE_SECONDS, HttpResponse, Transport

CATALOG_SECONDS = 5.0
RECONNECT_SECONDS = 90.0
"""How long to poll for a running command while the service is unreachable; a hub restarts it within half a minute."""
_POLL_SECONDS = 2.0
_MAX_POLLS = 1_800


class NotebookClient:
    """Sends requests to the service with the role token of this server.

    Parameters
    ----------
    transport : Transport
    token : RoleTokenSource
    """

    def __init__(self, transport: Transport, token: RoleTokenSource) -> None:
        self._transport, self.token = transport, token
        self._catalog: CommandCatalog | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return a client from ``AIZEN_URL`` and the token variables.

        Raises
        ------
        ServiceUnreachableError
            ``AIZEN_URL`` is missing or invalid.
        """
        environ = os.environ if environ is None else environ
        transport = Transport(environ.get("AIZEN_URL", ""), environ.get(pod_token.VARIABLE) or None)
        return cls(transport, RoleTokenSource.from_environment(transport, environ))

    @property
    def url(self) -> str:
        return self._transport.url

    @property
    def cached_catalog(self) -> CommandCatalog | None:
        """The command catalog if it was fetched before; never sends a request."""
        return self._catalog

    def get_catalog(self, *, refresh: bool = False) -> CommandCatalog:
        """Return the command catalog, fetched once per kernel or again if ``refresh`` is set.

        Raises
        ------
        ServiceUnreachableError, ProblemResponseError
        """
        if self._catalog is None or refresh:
            self._catalog = CommandCatalog.from_catalog(self.request_json("/api/v1/catalog", CATALOG_SECONDS))
        return self._catalog

    def get_session(self) -> dict[str, Any]:
        """Return the user, project, roles, limits and requests of this session."""
        return self.request_json("/api/v1/session", RESPONSE_SECONDS)

    def run(self, line: str) -> Iterator[dict[str, Any]]:
        """Send one command line and yield its events: ``decision``, then ``progress`` and ``log``, finally ``end``.

        The files that the line names are sent with it, and so is the end, in the local time zone, of each day that it
        names.

        Raises
        ------
        ProblemResponseError
            The command was denied or is invalid.
        CommandFileError
            A file cannot be sent; nothing was sent.
        ServiceUnreachableError
            Nothing was sent.
        ResponseInterruptedError
            The command was sent, but the response broke off and its state could not be determined.
        """
        body: dict[str, Any] = {"text": line}
        if files := self._read_named_files(line):
            body["files"] = files
        if days := find_day_ends(line):
            body["day_ends"] = days
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/x-ndjson, application/json",
            # A request with the same key has one effect, even if it is sent twice (R103).
            "Idempotency-Key": secrets.token_hex(16),
        }
        with trace_command(headers) as note_decision:
            yield from self._send_command(headers, json.dumps(body).encode(), note_decision)

    def _send_command(
        self, headers: Mapping[str, str], body: bytes, note_decision: Callable[[object], None]
    ) -> Iterator[dict[str, Any]]:
        with self._authorized_request("POST", "/api/v1/commands", headers, body) as response:
            if response.content_type == "application/x-ndjson":
                for event in self._follow_stream(response):
                    if event.get("event") == "decision":
                        note_decision(event.get("id"))
                    yield event
                return
            value = response.json()
            if not isinstance(value, dict):
                raise ServiceUnreachableError("the server at the address of the service is not the service")
        note_decision(value.get("id"))
        result = value.get("result")
        if _requires_renewal(result):
            self.token.renew()
        decision = {key: value.get(key) for key in ("id", "canonical", "decision")}
        # What the platform executes has a state, also in the response to a repeated request.
        yield {"event": "decision", "is_complete": value.get("state") is None, **decision}
        if value.get("state") == "running":
            # A repeated request for a command that is still running returns its state.
            yield from self._poll_state(str(value.get("id")), "the first response was lost", {"event": "progress"})
            return
        state, message = value.get("state") or "done", value.get("message") or ""
        yield {"event": "end", "state": state, "result": result, "message": message}

    def post_json(self, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post a JSON document, or nothing, and return the JSON object of the response.

        Raises
        ------
        ProblemResponseError, ServiceUnreachableError, ResponseInterruptedError
        """
        # With a key, a request that is sent twice has one effect.
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        if document is not None:
            headers["Content-Type"] = "application/json"
        body = None if document is None else json.dumps(document).encode()
        return self.request_json(path, RESPONSE_SECONDS, method="POST", headers=headers, body=body)

    def stream(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the events at an address as they come.

        Raises
        ------
        ProblemResponseError, ServiceUnreachableError
        ResponseInterruptedError
            The stream broke off.
        """
        with self._authorized_request(
            "GET", path, {"Accept": "application/x-ndjson, application/json"}, None
        ) as response:
            yield from response.lines()

    def _follow_stream(self, response: HttpResponse) -> Iterator[dict[str, Any]]:
        decision_id, reason = None, "the response ended early"
        last_progress: dict[str, Any] = {"event": "progress", "fraction": None}
        try:
            for event in response.lines():
                yield event
                match event.get("event"):
                    case "decision":
                        decision_id = event.get("id")
                    case "progress":
                        last_progress = event
                    case "end":
                        return
        except ResponseInterruptedError as error:
            reason = str(error)
        if not isinstance(decision_id, str):
            raise ResponseInterruptedError(reason)
        yield from self._poll_state(decision_id, reason, last_progress)

    def _poll_state(self, decision_id: str, reason: str, last_progress: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        # A command does not depend on the connection, so it may still be running.
        progress_event = {**last_progress, "message": f"{reason}; checking its state"}
        yield progress_event
        deadline = time.monotonic() + RECONNECT_SECONDS
        for _ in range(_MAX_POLLS):
            time.sleep(_POLL_SECONDS)
            try:
                status = self.request_json(f"/api/v1/commands/{quote(decision_id, safe='')}", RESPONSE_SECONDS)
            except AizenError as error:
                if isinstance(error, ProblemResponseError) and error.status < 500 and error.status != 429:
                    raise ResponseInterruptedError(f"{reason}, and its outcome is unknown: {error}") from None
                if time.monotonic() > deadline:
                    break
                yield progress_event
                continue
            state, result = status.get("state"), status.get("result")
            if state != "running":
                message = status.get("message") or ("" if result else "its result was lost with the connection")
                yield {"event": "end", "state": state, "result": result, "message": message}
                return
            deadline = time.monotonic() + RECONNECT_SECONDS
            if isinstance(progress := status.get("progress"), dict):
                progress_event = {**progress_event, "fraction": progress.get("fraction")}
                yield {**progress, "event": "progress"}
        raise ResponseInterruptedError(reason)

    def _read_named_files(self, line: str) -> dict[str, str]:
        match = None if self._catalog is None else self._catalog.find(line)
        if match is None and not ("config=" in line or " users " in f" {line} "):
            return {}
        if match is None:
            match = self.get_catalog().find(line)
        if match is None:
            return {}
        entry, arguments = match
        return {name: read_file(name) for name in find_file_names(arguments, entry.grammar)}

    def request_json(
        self,
        path: str,
        seconds: float,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeated: bool = True,
    ) -> dict[str, Any]:
        """Send one request with the role token and return the JSON object of the response.

        Parameters
        ----------
        seconds : float
            Within which the response must be complete.
        repeated : bool
            Send it once more if the connection breaks before a response.

        Raises
        ------
        ProblemResponseError, ServiceUnreachableError, ResponseInterruptedError
        """
        headers = {"Accept": "application/json", **(headers or {})}
        with self._authorized_request(method, path, headers, body, seconds, repeated) as response:
            value = response.json()
        if not isinstance(value, dict):
            raise ServiceUnreachableError("the server at the address of the service is not the service")
        return value

    @contextmanager
    def _authorized_request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds: float = RESPONSE_SECONDS,
        repeated: bool = True,
    ) -> Iterator[HttpResponse]:
        # Retried once: with a renewed token if the token was rejected, or unchanged if the connection broke before a
        # response, which is safe for reads and for commands with an idempotency key.
        authorization = self.token.authorization_header()
        for is_retry in (False, True):
            with ExitStack() as stack:
                request = self._transport.request(
                    method, path, headers={**headers, "Authorization": authorization}, body=body, seconds=seconds
                )
                try:
                    response = stack.enter_context(request)
                except ProblemResponseError as error:
                    if error.status != 401 or is_retry:
                        raise
                    self.token.renew(rejected_header=authorization, seconds=seconds)
                    authorization = self.token.authorization_header()
                    continue
                except ResponseInterruptedError:
                    if is_retry or not repeated:
                        raise
                    continue
                yield response
                return


def _requires_renewal(result: Any) -> bool:
    data = result.get("data") if isinstance(result, dict) else None
    return isinstance(data, dict) and data.get("renew") is True
