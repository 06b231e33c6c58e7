"""Checks decision tokens with the service's public keys, and refuses everything else."""

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
LONGEST_LIFE = 5
KEYS_MAX_AGE = 300.0
FETCH_PAUSE = 2.0


class Refused(Exception):
    """The token is not accepted; the sentence never holds a part of it."""


class KeysMissing(Exception):
    """The service's keys cannot be read now."""


@dataclass(frozen=True)
class Grant:
    """What a good token says."""

    id: str
    user: str
    project: str | None


class Verifier:
    """Verifies tokens of one issuer for one audience.

    Parameters
    ----------
    issuer : str
        Root address of the service; its keys are read from there and from nowhere else.
    audience : str
        Name of this core in the tokens.
    skew : float
        By how many seconds the two clocks may differ.
    """

    def __init__(self, issuer: str, audience: str, *, skew: float = 2.0) -> None:
        self._issuer, self._audience, self._skew = issuer.rstrip("/"), audience, skew
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read = self._tried = float("-inf")
        self._one_reader = asyncio.Lock()

    async def verify(self, token: str, body: bytes) -> Grant:
        """Return what the token grants.

        Raises
        ------
        Refused
            Wrong form, type, key, signature, issuer, audience, time, or made for another body.
        KeysMissing
            It could not be judged.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Refused("not a signed token") from None
        if header.get("typ") != TYPE or header.get("alg") != "EdDSA" or not isinstance(header.get("kid"), str):
            raise Refused("not a decision token")
        key = await self._key(header["kid"])
        if key is None:
            raise Refused("signed with a key that the service does not publish")
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
            raise Refused("the decision is too old") from None
        except jwt.PyJWTError as error:
            raise Refused(f"not a good token ({type(error).__name__})") from None
        self._check(claims, body)
        return Grant(claims["jti"], claims["sub"], claims["project"])

    def _check(self, claims: dict[str, Any], body: bytes) -> None:
        if claims.keys() != CLAIMS or not isinstance(claims["aud"], str):
            raise Refused("not the claims of a decision token")
        if not 0 < claims["exp"] - claims["iat"] <= LONGEST_LIFE:
            raise Refused("the decision would live too long")
        if not (claims["project"] is None or isinstance(claims["project"], str)):
            raise Refused("not the claims of a decision token")
        if not hmac.compare_digest(str(claims["sha256"]), hashlib.sha256(body).hexdigest()):
            raise Refused("the decision belongs to another command")

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        now = time.monotonic()
        if kid in self._keys and now - self._read < KEYS_MAX_AGE:
            return self._keys[kid]
        async with self._one_reader:
            # A key that is not known yet may be new; a flood of made-up names must not become a flood of requests.
            if time.monotonic() - self._tried >= FETCH_PAUSE or not self._keys:
                await self._fetch()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        self._tried = time.monotonic()
        try:
            answer = await AsyncHTTPClient().fetch(
                f"{self._issuer}/.well-known/jwks.json", follow_redirects=False, connect_timeout=2, request_timeout=3
            )
            keys = json.loads(answer.body)["keys"]
            self._keys = {one["kid"]: jwt.PyJWK(one, algorithm="EdDSA") for one in keys if one.get("crv") == "Ed25519"}
        except (HTTPError, OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            if time.monotonic() - self._read >= KEYS_MAX_AGE:
                raise KeysMissing(f"the keys of {self._issuer} cannot be read ({type(error).__name__})") from None
            return
        self._read = time.monotonic()
