"""What an OpenID provider says about itself (OpenID Connect Discovery 1.0): pinned, cached, last good kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aizen_hub.hub.login.oidc.http import IdpClient, IdpFailed, address_fault
from aizen_hub.hub.login.provider import show

log = logging.getLogger("aizen_hub.login")

FRESH_SECONDS = 3600.0
RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of a discovery document that is used.

    Attributes
    ----------
    end_session_url : str or None
        For RP-initiated logout.
    iss_in_response : bool
        Whether every answer of the authorization endpoint names its issuer (RFC 9207).
    """

    issuer: str
    authorize_url: str
    token_url: str
    jwks_url: str
    userinfo_url: str | None
    end_session_url: str | None
    iss_in_response: bool


class Discovery:
    """The metadata of one issuer.

    Parameters
    ----------
    issuer : str
        As configured; the document must name exactly this text (Discovery 1.0, 4.3).
    """

    def __init__(self, issuer: str, client: IdpClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._client = client
        self._clock = clock
        self._known: Metadata | None = None
        self._next = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def last_good(self) -> Metadata | None:
        return self._known

    async def metadata(self) -> Metadata:
        """Return the metadata, read anew every hour; where that fails, what was read last.

        Raises
        ------
        IdpFailed
            Nothing good was ever read.
        """
        async with self._lock:
            if self._known is not None and self._clock() < self._next:
                return self._known
            try:
                found = await self._read()
            except IdpFailed as error:
                if self._known is None:
                    raise
                log.warning("metadata of `%s` could not be read again, the last good one stays: %s", self.issuer, error)
                self._next = self._clock() + RETRY_SECONDS
                return self._known
            self._known, self._next = found, self._clock() + FRESH_SECONDS
            return found

    async def _read(self) -> Metadata:
        document = await self._client.get_json(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not isinstance(document, dict):
            raise IdpFailed("its metadata is not a JSON object")
        if document.get("issuer") != self.issuer:
            raise IdpFailed(f"its metadata names another issuer, `{show(str(document.get('issuer')), 200)}`")
        challenges = document.get("code_challenge_methods_supported")
        if isinstance(challenges, list) and "S256" not in challenges:
            log.warning("`%s` does not announce PKCE with S256; it is sent nevertheless", self.issuer)
        return Metadata(
            issuer=self.issuer,
            authorize_url=self._url(document, "authorization_endpoint"),
            token_url=self._url(document, "token_endpoint"),
            jwks_url=self._url(document, "jwks_uri"),
            userinfo_url=self._optional(document, "userinfo_endpoint"),
            end_session_url=self._optional(document, "end_session_endpoint"),
            iss_in_response=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _optional(self, document: dict[str, Any], name: str) -> str | None:
        return self._url(document, name) if document.get(name) is not None else None

    def _url(self, document: dict[str, Any], name: str) -> str:
        url = document.get(name)
        fault = address_fault(url, loopback=self.issuer.startswith("http:"))
        if fault:
            raise IdpFailed(f"its metadata: `{name}` {fault}")
        return str(url)
