"""Provider metadata (OpenID Connect Discovery 1.0): pinned issuer, cached, the last valid version kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aizen_hub.hub.login.oidc.http import IdpClient, IdpError, url_fault
from aizen_hub.hub.login.provider import printable

log = logging.getLogger("aizen_hub.login")

CACHE_SECONDS = 3600.0
RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The part of a discovery document that is used.

    Attributes
    ----------
    end_session_url : str or None
        For RP-initiated logout.
    iss_in_response : bool
        Whether every response of the authorization endpoint names its issuer (RFC 9207).
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
        self._metadata: ProviderMetadata | None = None
        self._next_read_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def last_metadata(self) -> ProviderMetadata | None:
        return self._metadata

    async def get_metadata(self) -> ProviderMetadata:
        """Return the metadata, read again every hour; where that fails, the last valid version.

        Raises
        ------
        IdpError
            No valid metadata was read so far.
        """
        async with self._lock:
            if self._metadata is not None and self._clock() < self._next_read_at:
                return self._metadata
            try:
                metadata = await self._read()
            except IdpError as error:
                if self._metadata is None:
                    raise
                log.warning(
                    "metadata of `%s` could not be read again, the last valid version is used: %s", self.issuer, error
                )
                self._next_read_at = self._clock() + RETRY_SECONDS
                return self._metadata
            self._metadata, self._next_read_at = metadata, self._clock() + CACHE_SECONDS
            return metadata

    async def _read(self) -> ProviderMetadata:
        document = await self._client.get_json(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not isinstance(document, dict):
            raise IdpError("its metadata is not a JSON object")
        if document.get("issuer") != self.issuer:
            raise IdpError(f"its metadata names another issuer, `{printable(str(document.get('issuer')), 200)}`")
        challenges = document.get("code_challenge_methods_supported")
        if isinstance(challenges, list) and "S256" not in challenges:
            log.warning("`%s` does not announce PKCE with S256; it is sent all the same", self.issuer)
        return ProviderMetadata(
            issuer=self.issuer,
            authorize_url=self._required_url(document, "authorization_endpoint"),
            token_url=self._required_url(document, "token_endpoint"),
            jwks_url=self._required_url(document, "jwks_uri"),
            userinfo_url=self._optional_url(document, "userinfo_endpoint"),
            end_session_url=self._optional_url(document, "end_session_endpoint"),
            iss_in_response=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _optional_url(self, document: dict[str, Any], name: str) -> str | None:
        return self._required_url(document, name) if document.get(name) is not None else None

    def _required_url(self, document: dict[str, Any], name: str) -> str:
        url = document.get(name)
        fault = url_fault(url, loopback=self.issuer.startswith("http:"))
        if fault:
            raise IdpError(f"its metadata: `{name}` {fault}")
        return str(url)
