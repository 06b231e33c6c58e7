"""Client of the hub's API; every token is validated anew, since a cached identity would outlive a revocation (F1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, StreamReader, TCPConnector

from aizen_hub.api_models.directory_reading import (
    DirectoryPerson,
    DirectoryReadingRequest,
    DirectoryReadingResponse,
)
from aizen_hub.api_models.hub_tokens import HubTokensRequest, HubTokensResponse
from aizen_hub.api_models.revocation import RevocationRequest, RevocationResponse
from aizen_hub.problems import NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation import strict_json

MAX_RESPONSE_BYTES = 4 << 20
_MAX_CONNECTIONS = 32
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_READ_SECONDS = 20.0  # less than the lease of an operation
_LIST_SECONDS = 2.0  # the page is shown without them
_REVOKE_SECONDS = 30.0  # the hub stops servers before it answers


HUB_VARIABLES = ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_CLIENT_ID")
"""Set by a hub that starts the service; `hub` of aizen.yaml replaces them for `aizen-hub serve`."""
CONFIGURE_HUB = (
    "an administrator has to set `hub` in aizen.yaml and to start `aizen-hub serve` again, see docs/separate-service.md"
)


@dataclass(frozen=True, slots=True)
class HubUser:
    """The hub user that a token belongs to."""

    name: str
    token_id: str
    session_hash: str | None = None
    """SHA-256 of the hub's id of the browser session that the token belongs to."""


class HubApiClient:
    """A client of the hub's API that has no credential of its own.

    Parameters
    ----------
    api_url : str or None
        ``JUPYTERHUB_API_URL``; None where the service was started without a hub: then no hub token is accepted.
    service : str
        Name of this service at the hub; the scopes of a token must include it.
    deadline : float
        Seconds.
    """

    def __init__(self, api_url: str | None, service: str, deadline: float) -> None:
        self._url = None if api_url is None else api_url.rstrip("/")
        self._scope = f"access:services!service={service}"
        self._deadline = deadline
        self._session: ClientSession | None = None

    async def user_of_token(self, token: str) -> HubUser:
        """Return the user that a hub token belongs to.

        Raises
        ------
        NotAuthenticated
            The hub does not know the token, it is not a user's, or it lacks the scope for this service.
        Unavailable
            The hub does not answer.
        """
        model = await self._request("GET", "/user", None, {"Authorization": f"token {token}"}, "token")
        if not isinstance(model, dict) or model.get("kind") != "user" or not isinstance(model.get("name"), str):
            raise NotAuthenticated("the hub token does not belong to a user", extensions={"code": "not-a-person"})
        scopes = model.get("scopes")
        if not isinstance(scopes, list) or not {"access:services", self._scope} & set(map(str, scopes)):
            raise NotAuthenticated(
                "the hub token has no scope for this service",
                extensions={"code": "wrong-scope"},
                remedy=f"create a token with the scope `{self._scope}`",
            )
        session_id = model.get("session_id")
        return HubUser(
            model["name"],
            str(model.get("token_id") or ""),
            hash_credential(session_id) if isinstance(session_id, str) and session_id else None,
        )

    async def exchange_code(self, form: Mapping[str, str]) -> str:
        """Exchange the authorization code of a login for the user's token (RFC 6749, 4.1.3).

        Raises
        ------
        NotAuthenticated
            The code is unknown, used, or was issued to another client.
        Unavailable
        """
        response = await self._request("POST", "/oauth2/token", urlencode(form), _FORM, "sign-in")
        token = response.get("access_token") if isinstance(response, dict) else None
        if not isinstance(token, str) or not token:
            raise NotAuthenticated("the hub did not sign you in", extensions={"code": "sign-in"})
        return token

    async def revoke_user(
        self, name: str, secret: str, *, sign_out: int | None = None, delete: bool = False
    ) -> dict[str, int] | None:
        """Have the hub end all browser sessions, tokens and servers of a user; None if the hub has no such user.

        Parameters
        ----------
        sign_out : int, optional
            The revision of a change of how the user signs in: servers and their tokens are kept.
        delete : bool
            Whether the hub deletes its record of the user too.

        Raises
        ------
        Unavailable
        """
        body = RevocationRequest(user=name, sign_out=sign_out, delete=delete).model_dump_json(exclude_defaults=True)
        response = await self._post_revocation(body, secret)
        if response is None:
            return None
        if not isinstance(response, dict):
            return {}
        result = RevocationResponse.model_validate(response)
        return {"tokens": result.tokens, "servers": result.servers}

    async def revoke_token(self, name: str, token_id: str, secret: str) -> bool:
        """Have the hub delete one token of a user; return whether there was one.

        Raises
        ------
        Unavailable
        """
        body = RevocationRequest(user=name, token_id=token_id).model_dump_json(exclude_defaults=True)
        response = await self._post_revocation(body, secret)
        return isinstance(response, dict) and RevocationResponse.model_validate(response).tokens > 0

    async def list_tokens(self, name: str, secret: str) -> HubTokensResponse:
        """Return what the hub tells of the tokens of a user that belong to no browser.

        Raises
        ------
        Unavailable
            Also where the hub takes longer than a page may wait, or is of a version that lists none.
        """
        body = HubTokensRequest(user=name).model_dump_json()
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        try:
            response = await self._request("POST", "/aizen/tokens", body, headers, "user", _LIST_SECONDS)
        except NotFound:
            return HubTokensResponse()
        except NotAuthenticated:
            raise Unavailable("the hub has a different hub secret than this service") from None
        return HubTokensResponse.model_validate(response)

    async def read_people(
        self, provider: str, people: Sequence[DirectoryPerson], secret: str
    ) -> DirectoryReadingResponse:
        """Have the hub read people of a directory again, and report them.

        Raises
        ------
        Unavailable
            Also where the hub has no such directory.
        """
        body = DirectoryReadingRequest(provider=provider, people=[*people]).model_dump_json()
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        try:
            response = await self._request("POST", "/aizen/read-people", body, headers, "directory", _READ_SECONDS)
        except NotFound:
            raise Unavailable(f"the hub does not read the directory {provider}") from None
        except NotAuthenticated:
            raise Unavailable("the hub has a different hub secret than this service") from None
        return DirectoryReadingResponse.model_validate(response)

    async def _post_revocation(self, body: str, secret: str) -> Any:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        try:
            return await self._request("POST", "/aizen/revoke", body, headers, "revocation", _REVOKE_SECONDS)
        except NotFound:
            return None
        except NotAuthenticated:
            raise Unavailable("the hub has a different hub secret than this service") from None

    @property
    def is_configured(self) -> bool:
        """Whether the service was started with a hub."""
        return self._url is not None

    async def _request(
        self,
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
        subject: str,
        seconds: float | None = None,
    ) -> Any:
        if self._url is None:
            raise NotAuthenticated(
                "no hub is configured, so hub tokens are not accepted",
                remedy=CONFIGURE_HUB,
                extensions={"code": "no-hub"},
            )
        if self._session is None:
            self._session = self._new_session()
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=None if body is None else body.encode(),
                headers=headers,
                allow_redirects=False,
                timeout=ClientTimeout(total=seconds or self._deadline, connect=self._deadline),
            ) as response:
                status, content_type = response.status, response.content_type
                content = await read_bounded(response.content, MAX_RESPONSE_BYTES) if 200 <= status < 300 else b""
        except (OSError, ClientError):  # a timeout is an OSError
            raise Unavailable(f"the hub cannot be asked about this {subject} now") from None
        if status == 404 and method == "POST":
            if content_type != "application/problem+json":
                # Not of its endpoint: a hub of a former version has none, which tells nothing about the user.
                raise Unavailable(f"the hub cannot be asked about this {subject}: it has no such endpoint")
            raise NotFound("the hub has no such user")
        if status in (400, 401, 403, 404):
            raise NotAuthenticated(f"the hub does not know this {subject}", extensions={"code": "unknown"})
        try:
            return strict_json.loads(content, max_bytes=MAX_RESPONSE_BYTES)
        except Problem:  # not JSON, too large, or an error of the hub
            raise Unavailable(f"the hub cannot be asked about this {subject} now") from None

    @staticmethod
    def _new_session() -> ClientSession:
        # A new connection for every request: none can be closed by the hub just as a code or a revocation is sent.
        return ClientSession(
            connector=TCPConnector(limit=_MAX_CONNECTIONS, force_close=True),
            cookie_jar=DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


async def read_bounded(stream: StreamReader, max_bytes: int) -> bytes:
    """Return the content of a response, or its first part, which is longer than ``max_bytes``."""
    content = bytearray()
    async for chunk in stream.iter_any():
        content += chunk
        if len(content) > max_bytes:
            break  # too long for the JSON reader, which refuses it
    return bytes(content)
