"""Asks the hub whose token this is; each time, because a remembered answer outlives a revocation (F1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from aizen_hub.commands import strict_json
from aizen_hub.problems import NotAuthenticated, Problem, Unavailable

MAX_ANSWER = 4 << 20


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the hub knows a token to belong to."""

    name: str
    token_id: str


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
        self._url = None if api_url is None else api_url.rstrip("/") + "/user"
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
        return Person(model["name"], str(model.get("token_id") or ""))

    async def _ask(self, token: str) -> Any:
        if self._url is None:
            raise NotAuthenticated("no hub is configured, so hub tokens are not accepted", more={"code": "no-hub"})
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_clients=32, max_body_size=MAX_ANSWER)
        try:
            answer = await self._client.fetch(
                self._url,
                headers={"Authorization": f"token {token}", "Accept": "application/json"},
                follow_redirects=False,
                connect_timeout=self._deadline,
                request_timeout=self._deadline,
            )
            return strict_json.loads(answer.body, max_bytes=MAX_ANSWER)
        except HTTPError as error:
            if error.code in (401, 403, 404):
                raise NotAuthenticated("the hub does not know this token", more={"code": "unknown"}) from None
            raise Unavailable("the hub cannot be asked about this token now") from None
        except (OSError, Problem):
            raise Unavailable("the hub cannot be asked about this token now") from None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
