"""The hub's side of the hub road: login reports, password checks, sessions. Asynchronous, with deadlines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPRequest

from aizen_hub.client.errors import MAX_ANSWER, ForeignService, Garbled, Unreachable, problem_from
from aizen_hub.client.http_client import BoundedHttp, CertificateRefused, NoAnswer
from aizen_hub.client.responses import (
    Choices,
    Ended,
    Heartbeat,
    LoginAnswer,
    LoginTurn,
    Opened,
    PasswordAnswer,
    read_answer,
)
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

INSTANCE_HEADER = "X-Aizen-Instance"
MAX_ADMINS = 1_000


class HubRoad:
    """A client of the service that holds the hub secret.

    Parameters
    ----------
    url : str
        The service's own root address, without a final slash.
    secret : str
        The hub secret.
    deadline : float
        Seconds for one whole call, connecting included.
    instance : str, optional
        The id that the hub gave to the service it started; answers of any other process are refused, because a
        managed service listens on a fixed local port that another process could have taken.

    Every method raises `Unreachable`, `ForeignService`, `Garbled` or the `Problem` that the service named.
    """

    def __init__(self, url: str, secret: str, *, deadline: float = 5.0, instance: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._instance = instance or None
        self._http = BoundedHttp(deadline, MAX_ANSWER)

    def __repr__(self) -> str:
        return f"HubRoad({self.url!r})"

    async def login(
        self,
        provider: str,
        subject: str,
        name: str,
        *,
        display_name: str | None = None,
        email: str | None = None,
        groups: Sequence[str] | None = None,
        source: str | None = None,
        typed: str | None = None,
        refresh: bool = False,
    ) -> LoginAnswer:
        """Report who proved to be whom; ``groups`` is None where the provider does not know them.

        ``typed`` is the name of the `attempt` that succeeded; with ``refresh`` the person was not there.
        """
        body: dict[str, Any] = {"provider": provider, "subject": subject, "name": name}
        body["groups"] = None if groups is None else [*groups]
        optional = {"display_name": display_name, "email": email, "source": source, "typed": typed, "refresh": refresh}
        body |= {key: value for key, value in optional.items() if value}
        return read_answer(LoginAnswer, await self.call("POST", "/api/v1/login", body))

    async def attempt(self, provider: str, name: str, source: str | None = None, *, void: bool = False) -> float | None:
        """Count an attempt to sign in before a provider judges it; the seconds to wait where it must not be made.

        ``void`` takes back one that nobody judged.
        """
        body = {"provider": provider, "name": name, "void": void} | ({"source": source} if source else {})
        return read_answer(LoginTurn, await self.call("POST", "/api/v1/login/attempts", body)).retry_after

    async def check_password(
        self, provider: str, name: str, password: str, *, totp: str | None = None, source: str | None = None
    ) -> PasswordAnswer:
        """Ask whether the password of a local account is right."""
        body = {"provider": provider, "name": name, "password": password}
        body |= {key: value for key, value in (("totp", totp), ("source", source)) if value}
        return read_answer(PasswordAnswer, await self.call("POST", "/api/v1/login/password", body))

    async def choices(self, user: str) -> Choices:
        """Ask which projects a person may start a server for."""
        return read_answer(Choices, await self.call("GET", "/api/v1/sessions/choices?" + urlencode({"user": user})))

    async def open_session(
        self, user: str, requester: str, server: str, project: str | None, credential: str
    ) -> Opened:
        """Open the session of one server start; ``credential`` is the SHA-256 of the server's own hub token."""
        body = {
            "user": user,
            "requester": requester,
            "server": server,
            "project": project,
            "credential": credential,
        }
        return read_answer(Opened, await self.call("POST", "/api/v1/sessions", body))

    async def end_session(self, user: str, server: str, reason: str) -> int:
        """End the sessions of one server; returns how many there were."""
        body = {"user": user, "server": server, "reason": reason}
        return read_answer(Ended, await self.call("POST", "/api/v1/sessions/end", body)).ended

    async def heartbeat(self, live: Iterable[tuple[str, str]], admins: Sequence[str] = ()) -> Heartbeat:
        """Report every live server as (user, server name), and who may use the hub's admin page."""
        body: dict[str, Any] = {"live": [{"user": user, "server": server} for user, server in live]}
        if admins:
            body["admins"] = [*admins][:MAX_ADMINS]
        return read_answer(Heartbeat, await self.call("POST", "/api/v1/sessions/heartbeat", body))

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send one request and return the JSON of its answer."""
        request = HTTPRequest(
            self.url + path,
            method=method,
            headers=self._headers,
            body=None if body is None else json.dumps(body, ensure_ascii=False),
        )
        try:
            answer = await self._http.fetch(request)
        except CertificateRefused as error:
            raise Unreachable(f"the access service shows a certificate that was not accepted: {error}") from None
        except NoAnswer as error:
            raise Unreachable(f"the access service does not answer at {self.url} ({error})") from None
        if self._instance is not None and answer.headers.get(INSTANCE_HEADER) != self._instance:
            raise ForeignService(
                f"what answers at {self.url} is not the service that this hub started",
                remedy="stop the other process on that port, or set another `service.port`",
            )
        if answer.code == 599:
            raise Unreachable(f"the access service does not answer at {self.url}")
        if answer.code >= 400:
            raise problem_from(answer.code, answer.body or b"")
        if answer.code >= 300:
            raise Garbled(f"the access service at {self.url} answered with a redirect")
        if not answer.body:
            return {}
        try:
            return strict_json.loads(answer.body, max_bytes=MAX_ANSWER)
        except Problem as error:
            raise Garbled(f"the access service answered what is not JSON: {error.detail}") from None

    def close(self) -> None:
        self._http.close()
