"""Signing keys of an OpenID provider: cached, the last valid set kept, read again for unknown keys once a minute."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from aizen_hub.hub.login.oidc.http import IdpError
from aizen_hub.hub.login.provider import printable
from aizen_hub.validation.roca import is_roca_modulus

log = logging.getLogger("aizen_hub.login")

CACHE_SECONDS = 3600.0
RETRY_SECONDS = 60.0
MAX_KEYS = 100
MIN_RSA_BITS = 2048
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",), "Ed448": ("EdDSA",)}
_PARSE_ERRORS = (
    jwt.PyJWTError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
)
"""PyJWT and cryptography raise any of these for members of a wrong type or value."""

ALGORITHMS = (*_RSA, "ES256", "ES384", "ES512", "EdDSA")
"""Every algorithm that can be allowed: asymmetric ones, so that a verifier cannot sign (R38)."""


@dataclass(frozen=True, slots=True)
class IdpKey:
    """One public key, with the algorithms that it may be used with."""

    kid: str | None
    public: Any
    algorithms: frozenset[str]


class IdpKeySet:
    """The key set of one provider.

    Parameters
    ----------
    read : callable
        Reads the JSON Web Key Set (RFC 7517, 5); raises `IdpError`.
    """

    def __init__(self, read: Callable[[], Awaitable[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._keys: tuple[IdpKey, ...] | None = None
        self._next_read_at = self._next_unknown_read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find_key(self, kid: str | None, algorithm: str) -> IdpKey | None:
        """Return the key with this id that may sign with this algorithm.

        A token without a key id matches only where exactly one key may be used.

        Raises
        ------
        IdpError
            No valid key set was read so far.
        """
        async with self._lock:
            is_stale = self._keys is None or self._clock() >= self._next_read_at
            if is_stale:
                await self._refresh()
            key = self._match(kid, algorithm)
            # A new key must work at once, but tokens with invented key ids must not cause a request each.
            if key is None and not is_stale and self._clock() >= self._next_unknown_read_at:
                self._next_unknown_read_at = self._clock() + RETRY_SECONDS
                await self._refresh()
                key = self._match(kid, algorithm)
            return key

    def _match(self, kid: str | None, algorithm: str) -> IdpKey | None:
        matching = [key for key in self._keys or () if algorithm in key.algorithms and (kid is None or key.kid == kid)]
        return matching[0] if len(matching) == 1 else None

    async def _refresh(self) -> None:
        try:
            keys = parse_keys(await self._read())
        except IdpError as error:
            if self._keys is None:
                raise
            log.warning("the key set could not be read again, the last valid one is used: %s", error)
            self._next_read_at = self._clock() + RETRY_SECONDS
            return
        self._keys, self._next_read_at = keys, self._clock() + CACHE_SECONDS


def parse_keys(document: Any) -> tuple[IdpKey, ...]:
    """Return the usable signing keys of a key set; others are ignored, whatever they contain (RFC 7517, 5).

    Raises
    ------
    IdpError
        It is not a key set, or contains no usable key.
    """
    jwks = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(jwks, list) or len(jwks) > MAX_KEYS:
        raise IdpError("its key set is not a list of at most a hundred keys")
    keys = tuple(key for jwk in jwks if isinstance(jwk, dict) and (key := _parse_key(jwk)) is not None)
    if not keys:
        raise IdpError("its key set contains no usable signing key")
    return keys


def _parse_key(jwk: Mapping[str, Any]) -> IdpKey | None:
    # Some providers write an absent member as null.
    jwk = {name: value for name, value in jwk.items() if value is not None}
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    key_type, kid = jwk.get("kty"), jwk.get("kid")
    algorithms: tuple[str, ...] = (
        _RSA if key_type == "RSA" else _CURVES.get(str(jwk.get("crv")), ()) if key_type in ("EC", "OKP") else ()
    )
    if "alg" in jwk:
        algorithms = tuple(algorithm for algorithm in algorithms if algorithm == jwk["alg"])
    if not algorithms or not (kid is None or isinstance(kid, str)):
        return None
    # Public parameters only: a private key published by mistake must not become usable here.
    public: dict[str, Any] = {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
    try:
        key = jwt.PyJWK(public, algorithm=algorithms[0]).key
    except _PARSE_ERRORS:
        return None
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            return None
        if is_roca_modulus(key.public_numbers().n):
            log.warning(
                "the key `%s` of a provider is refused: its private half can be computed (ROCA)", printable(str(kid))
            )
            return None
    return IdpKey(kid, key, frozenset(algorithms))
