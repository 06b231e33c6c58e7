"""Clients of the service in pods: connections go to what is ready by EndpointSlices, as kube-proxy has it."""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.faults.reply import TOO_SLOW

CLIENTS = 4
COMMAND = "start training churn"
"""What an executor may do."""
_REFRESH_SECONDS, _PAUSE_SECONDS, _OPEN_EVERY = 1.0, 0.1, 25
_WAIT_SECONDS = 240.0
_TIMEOUT_SECONDS = 60.0


def send(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any, token: str
) -> tuple[int, dict[str, Any]]:
    """Send one request once; return status and body."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": f"Bearer {token}"}
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def ask(address: str, method: str, path: str, body: Any, token: str) -> tuple[int, dict[str, Any]]:
    """Send one request to one pod."""
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
    try:
        return send(connection, method, path, body, token)
    finally:
        connection.close()


def session_of(user: str, project: str, server: str) -> dict[str, str]:
    """Return what the hub sends to open the session of a server."""
    credential = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
    return {"user": user, "requester": user, "server": server, "project": project, "credential": credential}


class PodLoad:
    """Some clients that ask until the end of the block, on connections that they keep open.

    Each asks for decisions of a user who may execute, and now and then opens its session as the hub does. A request
    that was not answered at once as it should be has failed: nothing is sent again. A service that gets no processor
    for a quarter of a second cannot decide on the current state and says so, which is a matter of this machine and is
    counted apart.

    Parameters
    ----------
    find_addresses : callable
        Returns the pods that are ready; asked every second.

    Attributes
    ----------
    requests, starved : int
    failures : list of str
    """

    def __init__(self, find_addresses: Callable[[], list[str]], hub_secret: str, user: str, project: str) -> None:
        self._find_addresses, self._hub_secret = find_addresses, hub_secret
        self._user, self._project = user, project
        self._addresses = find_addresses()
        self.requests = self.starved = 0
        self.failures: list[str] = []
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"pod-client-{number}", daemon=True)
            for number in range(CLIENTS)
        ]
        self._threads.append(threading.Thread(target=self._refresh, name="pod-addresses", daemon=True))

    def __enter__(self) -> Self:
        # A thread is in the network of the one that starts it.
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_WAIT_SECONDS)

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        goal, end = self.requests + count, time.monotonic() + _WAIT_SECONDS
        while self.requests < goal:
            assert time.monotonic() < end, self.failures[:5]
            time.sleep(0.05)

    def _refresh(self) -> None:
        while not self._stop.wait(_REFRESH_SECONDS):
            try:
                self._addresses = self._find_addresses()
            except OSError as error:
                self._fail(f"the API server: {error!r}")

    def _run(self, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        token: str | None = None
        turn = number
        while not self._stop.is_set():
            turn += 1
            try:
                if connection is None:
                    addresses = self._addresses
                    address = addresses[turn % len(addresses)]
                    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
                if token is None or turn % _OPEN_EVERY == 0:
                    body = session_of(self._user, self._project, f"load-{number}")
                    status, answer = send(connection, "POST", "/api/v1/sessions", body, self._hub_secret)
                    is_right = status == http.client.CREATED
                    token = answer.get("token")
                else:
                    status, answer = send(connection, "POST", "/api/v1/decisions", {"command": COMMAND}, token)
                    is_right = status == http.client.OK and answer.get("decision", {}).get("allowed", False)
                if status == http.client.SERVICE_UNAVAILABLE and answer.get("detail") in TOO_SLOW:
                    with self._guard:
                        self.starved += 1
                elif not is_right:
                    self._fail(f"{connection.host}: {status} {answer}")
                if connection.sock is None:  # the answer closed it
                    connection = None
            except (OSError, http.client.HTTPException, ValueError, ZeroDivisionError) as error:
                self._fail(f"{connection.host if connection else 'no pod is ready'}: {error!r}")
                connection = None
            with self._guard:
                self.requests += 1
            self._stop.wait(_PAUSE_SECONDS)

    def _fail(self, what: str) -> None:
        with self._guard:
            self.failures.append(what)
