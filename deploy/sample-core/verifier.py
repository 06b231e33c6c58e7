"""Verification of decision tokens with the service's public keys."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

import jwt
from tornado.httpclient import AsyncHTTPClient, HTTPError

TYPE = "aizen-decision+jwt"
CLAIMS = frozenset({"iss", "aud", "sub", "project", "jti", "sha256", "iat", "exp"})
MAX_LIFETIME_SECONDS = 5
KEYS_MAX_AGE_SECONDS = 300.0
FETCH_PAUSE_SECONDS = 2.0


class TokenRefusedError(Exception):
    """The token is not accepted; the message never contains a part of it."""


class KeysUnavailableError(Exception):
    """The service's keys cannot be read at the moment."""


@dataclass(frozen=True)
class VerifiedDecision:
    """The content of a valid token."""

    id: str
    user: str
    project: str | None


class DecisionTokenVerifier:
    """Verifies tokens of one issuer for one audience.

    Parameters
    ----------
    issuer : str
        Root address of the service; its keys are read from there and from nowhere else.
    audience : str
        Name of this core in the tokens.
    skew : float
        Maximum difference of the two clocks, in seconds.
    """

    def __init__(self, issuer: str, audience: str, *, skew: float = 2.0) -> None:
        self._issuer, self._audience, self._skew = issuer.rstrip("/"), audience, skew
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._attempted_at = float("-inf")
        self._fetch_lock = asyncio.Lock()

    async def verify(self, token: str, body: bytes) -> VerifiedDecision:
        """Return the decision that a token proves.

        Raises
        ------
        TokenRefusedError
            Wrong form, type, key, signature, issuer, audience, time, or made for another body.
        KeysUnavailableError
            The token could not be verified.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise TokenRefusedError("not a signed token") from None
        if header.get("typ") != TYPE or header.get("alg") != "EdDSA" or not isinstance(header.get("kid"), str):
            raise TokenRefusedError("not a decision token")
        key = await self._key(header["kid"])
        if key is None:
            raise TokenRefusedError("signed with a key that the service does not publish")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=["EdDSA"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._skew,
                options={"require": sorted(CLAIMS - {"project"})},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefusedError("the decision is too old") from None
        except jwt.PyJWTError as error:
            raise TokenRefusedError(f"not a valid token ({type(error).__name__})") from None
        self._check(claims, body)
        return VerifiedDecision(claims["jti"], claims["sub"], claims["project"])

    def _check(self, claims: dict[str, Any], body: bytes) -> None:
        if claims.keys() != CLAIMS or not isinstance(claims["aud"], str):
            raise TokenRefusedError("not the claims of a decision token")
        if not 0 < claims["exp"] - claims["iat"] <= MAX_LIFETIME_SECONDS:
            raise TokenRefusedError("the decision would be valid for too long")
        if not (claims["project"] is None or isinstance(claims["project"], str)):
            raise TokenRefusedError("not the claims of a decision token")
        if not hmac.compare_digest(str(claims["sha256"]), hashlib.sha256(body).hexdigest()):
            raise TokenRefusedError("the decision belongs to another command")

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        now = time.monotonic()
        if kid in self._keys and now - self._fetched_at < KEYS_MAX_AGE_SECONDS:
            return self._keys[kid]
        async with self._fetch_lock:
            # An unknown key may be new; a flood of invented ids must not become a flood of requests.
            if time.monotonic() - self._attempted_at >= FETCH_PAUSE_SECONDS or not self._keys:
                await self._fetch()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        self._attempted_at = time.monotonic()
        try:
            response = await AsyncHTTPClient().fetch(
                f"{self._issuer}/.well-known/jwks.json", follow_redirects=False, connect_timeout=2, request_timeout=3
            )
            keys = json.loads(response.body)["keys"]
            self._keys = {key["kid"]: jwt.PyJWK(key, algorithm="EdDSA") for key in keys if key.get("crv") == "Ed25519"}
        except (HTTPError, OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            if time.monotonic() - self._fetched_at >= KEYS_MAX_AGE_SECONDS:
                raise KeysUnavailableError(
                    f"the keys of {self._issuer} cannot be read ({type(error).__name__})"
                ) from None
            return
        self._fetched_at = time.monotonic()
