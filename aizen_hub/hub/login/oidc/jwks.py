"""The signing keys of an OpenID provider: cached, last good kept, asked again for an unknown one once a minute."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from aizen_hub.hub.login.oidc.http import IdpFailed

log = logging.getLogger("aizen_hub.login")

FRESH_SECONDS = 3600.0
UNKNOWN_SECONDS = 60.0
MAX_KEYS = 100
MIN_RSA_BITS = 2048
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",), "Ed448": ("EdDSA",)}
ALGORITHMS = (*_RSA, "ES256", "ES384", "ES512", "EdDSA")
"""Every algorithm that may be allowed at all: asymmetric ones, so that nobody who can verify can sign (R38)."""


@dataclass(frozen=True, slots=True)
class IdpKey:
    """One public key, with the algorithms that it is good for."""

    kid: str | None
    public: Any
    algorithms: frozenset[str]


class IdpKeys:
    """The key set of one provider.

    Parameters
    ----------
    read : callable
        Reads the JSON Web Key Set (RFC 7517, 5); raises `IdpFailed`.
    """

    def __init__(self, read: Callable[[], Awaitable[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._keys: tuple[IdpKey, ...] | None = None
        self._next = self._next_unknown = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> IdpKey | None:
        """Return the key with this id that may sign with this algorithm.

        A signature without an id is checked only where exactly one key fits.

        Raises
        ------
        IdpFailed
            No key set was ever read.
        """
        async with self._lock:
            due = self._keys is None or self._clock() >= self._next
            if due:
                await self._refresh()
            found = self._match(kid, algorithm)
            # A key that was rotated in must work at once, but whoever sends made-up ids must not make us ask for each.
            if found is None and not due and self._clock() >= self._next_unknown:
                self._next_unknown = self._clock() + UNKNOWN_SECONDS
                await self._refresh()
                found = self._match(kid, algorithm)
            return found

    def _match(self, kid: str | None, algorithm: str) -> IdpKey | None:
        fitting = [one for one in self._keys or () if algorithm in one.algorithms and (kid is None or one.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        try:
            keys = read_keys(await self._read())
        except IdpFailed as error:
            if self._keys is None:
                raise
            log.warning("the key set could not be read again, the last good one stays: %s", error)
            self._next = self._clock() + UNKNOWN_SECONDS
            return
        self._keys, self._next = keys, self._clock() + FRESH_SECONDS


def read_keys(document: Any) -> tuple[IdpKey, ...]:
    """Return the usable signing keys of a key set; others are passed over (RFC 7517, 5).

    Raises
    ------
    IdpFailed
        It is not a key set, or holds no usable key.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise IdpFailed("its key set is not a list of at most a hundred keys")
    keys = tuple(key for one in listed if isinstance(one, dict) and (key := _key(one)) is not None)
    if not keys:
        raise IdpFailed("its key set holds no usable signing key")
    return keys


def _key(jwk: Mapping[str, Any]) -> IdpKey | None:
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    kind, kid = jwk.get("kty"), jwk.get("kid")
    possible: tuple[str, ...] = (
        _RSA if kind == "RSA" else _CURVES.get(str(jwk.get("crv")), ()) if kind in ("EC", "OKP") else ()
    )
    if "alg" in jwk:
        possible = tuple(one for one in possible if one == jwk["alg"])
    if not possible or not (kid is None or isinstance(kid, str)):
        return None
    # The public members only: a provider that publishes a private key by mistake must not make it usable here.
    public = {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
    try:
        key = jwt.PyJWK(public, algorithm=possible[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return None
    return IdpKey(kid, key, frozenset(possible))
