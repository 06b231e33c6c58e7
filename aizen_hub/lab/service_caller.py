"""Calls of the service with the role token of this server, which stays in this process."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from aizen_hub.lab.allowed_calls import SWITCH_PROJECT, AllowedCall
from aizen_hub.lab.call_quota import CallQuota
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.errors import (
    AizenError,
    ProblemResponseError,
    ResponseInterruptedError,
    ServiceUnreachableError,
)

_THREADS = 4
_MAX_WAITING = 32
_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class CallResponse:
    """What the browser is answered: a status, and a JSON object that is a problem document from 400 on."""

    status: int
    content: Mapping[str, Any]

    @classmethod
    def problem(cls, status: int, title: str, detail: str, remedy: str = "", code: str = "") -> Self:
        document = {"title": title, "detail": detail, "status": status}
        return cls(status, document | ({"remedy": remedy} if remedy else {}) | ({"code": code} if code else {}))


class ServiceCaller:
    """Makes the allowed calls in threads of its own, since the client of the notebook side blocks.

    Parameters
    ----------
    client : NotebookClient
    quota : CallQuota
    """

    def __init__(self, client: NotebookClient, quota: CallQuota) -> None:
        self._client, self._quota = client, quota
        self._pool = ThreadPoolExecutor(_THREADS, "aizen-lab")
        self._waiting = 0
        self._shared: dict[AllowedCall, tuple[float, asyncio.Future[CallResponse]]] = {}

    @classmethod
    def from_environment(cls) -> Self:
        """Return a caller for the session of this server.

        Raises
        ------
        ServiceUnreachableError
            ``AIZEN_URL`` is missing or invalid.
        """
        return cls(NotebookClient.from_environment(), CallQuota(burst=60, per_second=10.0))

    async def call(
        self, call: AllowedCall, id: str | None = None, body: Mapping[str, str] | None = None
    ) -> CallResponse:
        """Make one call; failures of the service and of the connection are responses too."""
        if (shared := self._shared_response(call)) is not None:
            return await asyncio.shield(shared)
        if self._waiting >= _MAX_WAITING or not self._quota.take():
            return CallResponse.problem(
                429, "Too many requests", "this page has asked too often", "wait a few seconds", "too-many-requests"
            )
        future = asyncio.ensure_future(self._run(call, id, body))
        if call.shared_seconds:
            self._shared[call] = (time.monotonic(), future)
        else:
            # What was changed must be seen by the next reading.
            future.add_done_callback(lambda _: self._shared.clear())
        return await asyncio.shield(future)

    def _shared_response(self, call: AllowedCall) -> asyncio.Future[CallResponse] | None:
        started, future = self._shared.get(call, (0.0, None))
        if future is None or not future.done():
            return future
        is_fresh = time.monotonic() - started < call.shared_seconds
        return future if is_fresh and future.result().status < 400 else None

    async def _run(self, call: AllowedCall, id: str | None, body: Mapping[str, str] | None) -> CallResponse:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._send, call, id, body)
        finally:
            self._waiting -= 1

    def _send(self, call: AllowedCall, id: str | None, body: Mapping[str, str] | None) -> CallResponse:
        try:
            if call is SWITCH_PROJECT:
                self._client.token.renew(project=(body or {}).get("project", ""))
                return CallResponse(200, {"project": self._client.token.project})
            return CallResponse(200, self._request(call, id, body))
        except ProblemResponseError as error:
            # 401 would tell the browser that its own login has ended; the end of the session is an OAuth error (400).
            is_refused_session = error.status == 401 or error.document.get("code") == "session-ended"
            return CallResponse(403 if is_refused_session else error.status, error.document)
        except ServiceUnreachableError as error:
            return CallResponse.problem(
                503, "The service does not answer", str(error), "this page tries again by itself", "unreachable"
            )
        except ResponseInterruptedError as error:
            return CallResponse.problem(
                502, "The answer broke off", str(error), "look whether it was done before you try again", "interrupted"
            )
        except AizenError as error:
            return CallResponse.problem(500, "Not done", str(error))

    def _request(self, call: AllowedCall, id: str | None, body: Mapping[str, str] | None) -> dict[str, Any]:
        path = call.path.format(id=id)
        if call.method == "GET":
            return self._client.request_json(path, _SECONDS)
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        # Addresses without fields accept no body at all.
        data = json.dumps(body or {}).encode() if call.fields else None
        return self._client.request_json(path, _SECONDS, method=call.method, headers=headers, body=data)
