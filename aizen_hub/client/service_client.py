"""Asynchronous client of the service for the hub: login reports, password checks, sessions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPRequest

from aizen_hub.api_models.headers import INSTANCE_HEADER
from aizen_hub.api_models.logins import LoginResponse, PasswordCheckResponse, ThrottleResponse
from aizen_hub.api_models.sessions import (
    MAX_ADMINS,
    EndSessionsResponse,
    HeartbeatResponse,
    OpenSessionResponse,
    SpawnAccessResponse,
    SpawnOptionsResponse,
)
from aizen_hub.client.errors import (
    MAX_RESPONSE,
    REPEAT_PAUSES,
    ConnectionLost,
    ForeignService,
    InvalidResponse,
    Unreachable,
    parse_problem,
)
from aizen_hub.client.http_client import CertificateError, HttpClient, HttpError, LostConnectionError
from aizen_hub.client.responses import parse_response
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

log = logging.getLogger(__name__)


class ServiceClient:
    """A client of the service, authenticated by the hub secret.

    Parameters
    ----------
    url : str
        The service's own root address, without a final slash.
    secret : str
        The hub secret.
    deadline : float
        Seconds for one whole request, connecting included.
    instance : str, optional
        The id that the hub gave to the service it started; responses of any other process are refused, because a
        managed service listens on a fixed local port that another process could have taken.

    Every method raises `Unreachable`, `ForeignService`, `InvalidResponse` or the `Problem` that the service reported.
    The text of an error may end on a page of the hub, so the address is in the log only.
    """

    def __init__(self, url: str, secret: str, *, deadline: float = 5.0, instance: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._instance = instance or None
        self._http = HttpClient(deadline, MAX_RESPONSE)

    def __repr__(self) -> str:
        return f"ServiceClient({self.url!r})"

    async def report_login(
        self,
        provider: str,
        subject: str,
        name: str,
        *,
        display_name: str | None = None,
        email: str | None = None,
        groups: Sequence[str] | None = None,
        source: str | None = None,
        entered_name: str | None = None,
        refresh: bool = False,
        unattended: bool = False,
        answered_in: float | None = None,
    ) -> LoginResponse:
        """Report an authenticated user; see `LoginReport` for the parameters."""
        body: dict[str, Any] = {"provider": provider, "subject": subject, "name": name}
        body["groups"] = None if groups is None else [*groups]
        optional = {
            "display_name": display_name,
            "email": email,
            "source": source,
            "entered_name": entered_name,
            "refresh": refresh,
            "unattended": unattended,
            "answered_in": answered_in,
        }
        body |= {key: value for key, value in optional.items() if value}
        return parse_response(LoginResponse, await self.request("POST", "/api/v1/login", body))

    async def report_departure(self, provider: str, subject: str) -> None:
        """Report a user whom the provider does not know any more."""
        body = {"provider": provider, "subject": subject}
        await self.request("POST", "/api/v1/login/departures", body, repeat=True)

    async def count_attempt(
        self, provider: str, name: str, source: str | None = None, *, undo: bool = False
    ) -> float | None:
        """Count a login attempt before a provider checks it.

        Parameters
        ----------
        undo : bool
            Remove an attempt that no provider answered.

        Returns
        -------
        float or None
            Seconds to wait, where the attempt must not be made yet.
        """
        body = {"provider": provider, "name": name, "undo": undo} | ({"source": source} if source else {})
        return parse_response(ThrottleResponse, await self.request("POST", "/api/v1/login/attempts", body)).retry_after

    async def check_password(
        self, provider: str, name: str, password: str, *, totp: str | None = None, source: str | None = None
    ) -> PasswordCheckResponse:
        """Check the password of a local account."""
        body = {"provider": provider, "name": name, "password": password}
        body |= {key: value for key, value in (("totp", totp), ("source", source)) if value}
        return parse_response(PasswordCheckResponse, await self.request("POST", "/api/v1/login/password", body))

    async def get_spawn_options(self, user: str) -> SpawnOptionsResponse:
        """Return the projects that a user may start a server for."""
        path = "/api/v1/sessions/choices?" + urlencode({"user": user})
        return parse_response(SpawnOptionsResponse, await self.request("GET", path, repeat=True))

    async def request_access(self, user: str, project: str, role: str, duration: str, because: str) -> str:
        """Request a role in a project for a user; return what became of it, as a sentence."""
        body = {"user": user, "project": project, "role": role, "duration": duration, "because": because}
        document = await self.request("POST", "/api/v1/sessions/choices/requests", body)
        return parse_response(SpawnAccessResponse, document).message

    async def open_session(
        self, user: str, requester: str, server: str, project: str | None, credential: str
    ) -> OpenSessionResponse:
        """Open the session of one server start; ``credential`` is the SHA-256 of the server's own hub token."""
        body = {
            "user": user,
            "requester": requester,
            "server": server,
            "project": project,
            "credential": credential,
        }
        return parse_response(OpenSessionResponse, await self.request("POST", "/api/v1/sessions", body, repeat=True))

    async def end_session(self, user: str, server: str, reason: str) -> int:
        """End the sessions of one server; return their number.

        It is not sent again: a second one could end the session of the next start. The heartbeat ends what is left.
        """
        body = {"user": user, "server": server, "reason": reason}
        document = await self.request("POST", "/api/v1/sessions/end", body)
        return parse_response(EndSessionsResponse, document).ended

    async def send_heartbeat(self, live: Iterable[tuple[str, str]], admins: Sequence[str] = ()) -> HeartbeatResponse:
        """Report every live server as (user, server name), and the users of the hub's admin page."""
        body: dict[str, Any] = {"live": [{"user": user, "server": server} for user, server in live]}
        if admins:
            body["admins"] = [*admins][:MAX_ADMINS]
        document = await self.request("POST", "/api/v1/sessions/heartbeat", body, repeat=True)
        return parse_response(HeartbeatResponse, document)

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, repeat: bool = False
    ) -> Any:
        """Send one request and return the JSON value of the response.

        Parameters
        ----------
        repeat : bool
            The request has one effect however often it arrives: send it again if the connection is lost, up to twice.
        """
        for pause in REPEAT_PAUSES if repeat else ():
            try:
                return await self._request_once(method, path, body)
            except ConnectionLost:
                await asyncio.sleep(pause)
        return await self._request_once(method, path, body)

    async def _request_once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        http_request = HTTPRequest(
            self.url + path,
            method=method,
            headers=self._headers,
            body=None if body is None else json.dumps(body, ensure_ascii=False),
        )
        try:
            response = await self._http.fetch(http_request)
        except CertificateError as error:
            raise Unreachable(f"the certificate of the access service was rejected: {error}") from None
        except HttpError as error:
            log.warning("the access service does not respond at %s (%s)", self.url, error)
            problem = ConnectionLost if isinstance(error, LostConnectionError) else Unreachable
            raise problem(f"the access service does not respond ({error})") from None
        if self._instance is not None and response.headers.get(INSTANCE_HEADER) != self._instance:
            log.error(
                "the process at %s is not the service that this hub started: stop it, or set another `service.port`",
                self.url,
            )
            raise ForeignService(
                "another process responds in place of the access service that this hub started",
                remedy="an administrator finds its address in the log of the hub",
            )
        if response.code == 599:
            log.warning("the access service does not respond at %s", self.url)
            raise Unreachable("the access service does not respond")
        if response.code >= 400:
            raise parse_problem(response.code, response.body or b"")
        if response.code >= 300:
            log.error("the access service at %s responded with a redirect", self.url)
            raise InvalidResponse("the access service responded with a redirect")
        if not response.body:
            return {}
        try:
            return strict_json.loads(response.body, max_bytes=MAX_RESPONSE)
        except Problem as error:
            raise InvalidResponse(f"the response of the access service is not JSON: {error.detail}") from None

    def close(self) -> None:
        self._http.close()
