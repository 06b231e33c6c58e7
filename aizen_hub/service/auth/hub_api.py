"""Asks the hub whose token this is; each time, because a remembered answer outlives a revocation (F1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from aizen_hub.problems import NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation import strict_json

MAX_ANSWER = 4 << 20
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_REVOKE_SECONDS = 30.0  # servers are stopped while it waits


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the hub knows a token to belong to."""

    name: str
    token_id: str
    session: str | None = None
    """SHA-256 of the hub's id of the browser session that the token belongs to."""


class HubClient:
    """A client of the hub's API that holds no credential of its own.

    Parameters
    ----------
    api_url : str or None
        ``JUPYTERHUB_API_URL``; None where the service was started without a hub, then no hub token is accepted.
    service : str
        Our name at the hub, which the token's scopes must reach.
    deadline : float
        Seconds.
    """

    def __init__(self, api_url: str | None, service: str, deadline: float) -> None:
        self._url = None if api_url is None else api_url.rstrip("/")
        self._scope = f"access:services!service={service}"
        self._deadline = deadline
        self._client: AsyncHTTPClient | None = None

    async def person(self, token: str) -> Person:
        """Return the person whose token this is.

        Raises
        ------
        NotAuthenticated
            Unknown to the hub, not a person's, or without the scope for this service.
        Unavailable
            The hub does not answer: nobody is let in on a guess.
        """
        model = await self._ask(token)
        if not isinstance(model, dict) or model.get("kind") != "user" or not isinstance(model.get("name"), str):
            raise NotAuthenticated("the hub token is not a person's", more={"code": "not-a-person"})
        scopes = model.get("scopes")
        if not isinstance(scopes, list) or not {"access:services", self._scope} & set(map(str, scopes)):
            raise NotAuthenticated(
                "the hub token does not reach this service",
                more={"code": "wrong-scope"},
                remedy=f"make a token with the scope `{self._scope}`",
            )
        session = model.get("session_id")
        return Person(
            model["name"],
            str(model.get("token_id") or ""),
            hash_credential(session) if isinstance(session, str) and session else None,
        )

    async def token_for_code(self, form: Mapping[str, str]) -> str:
        """Exchange the code of a sign-in for the person's token (RFC 6749, 4.1.3).

        Raises
        ------
        NotAuthenticated
            The code is unknown, used, or another's.
        Unavailable
        """
        answer = await self._send("POST", "/oauth2/token", urlencode(form), FORM, "sign-in")
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise NotAuthenticated("the hub did not sign you in", more={"code": "sign-in"})
        return token

    async def revoke(self, name: str, secret: str, *, sign_out: int | None = None) -> dict[str, int] | None:
        """Have the hub end everything of a person: browser sessions, tokens, servers; None if it does not know them.

        Parameters
        ----------
        sign_out : int, optional
            The revision of a change of how the person signs in: servers go on with their own tokens.

        Raises
        ------
        Unavailable
        """
        body = json.dumps({"user": name} if sign_out is None else {"user": name, "sign_out": sign_out})
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        try:
            answer = await self._send("POST", "/aizen/revoke", body, headers, "revocation", _REVOKE_SECONDS)
        except NotFound:
            return None
        except NotAuthenticated:
            raise Unavailable("the hub has another hub secret than this service") from None
        return {key: int(answer.get(key, 0)) for key in ("tokens", "servers")} if isinstance(answer, dict) else {}

    @property
    def known(self) -> bool:
        """Whether there is a hub at all."""
        return self._url is not None

    async def _ask(self, token: str) -> Any:
        return await self._send("GET", "/user", None, {"Authorization": f"token {token}"}, "token")

    async def _send(
        self,
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
        what: str,
        seconds: float | None = None,
    ) -> Any:
        if self._url is None:
            raise NotAuthenticated("no hub is configured, so hub tokens are not accepted", more={"code": "no-hub"})
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_clients=32, max_body_size=MAX_ANSWER)
        try:
            answer = await self._client.fetch(
                self._url + path,
                method=method,
                body=body,
                headers={**headers, "Accept": "application/json"},
                follow_redirects=False,
                connect_timeout=self._deadline,
                request_timeout=seconds or self._deadline,
            )
            return strict_json.loads(answer.body, max_bytes=MAX_ANSWER)
        except HTTPError as error:
            if error.code == 404 and method == "POST":
                raise NotFound("the hub has no such user") from None
            if error.code in (400, 401, 403, 404):
                raise NotAuthenticated(f"the hub does not know this {what}", more={"code": "unknown"}) from None
            raise Unavailable(f"the hub cannot be asked about this {what} now") from None
        except (OSError, Problem):
            raise Unavailable(f"the hub cannot be asked about this {what} now") from None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
