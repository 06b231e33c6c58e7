"""Verification of ID tokens and logout tokens (OpenID Connect Core 3.1.3.7, Back-Channel Logout 2.6; R23)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import jwt

from aizen_hub.hub.login.oidc.jwks import ALGORITHMS, IdpKeySet
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

MAX_TOKEN_BYTES = 64 * 1024
MAX_SUBJECT = 255
MAX_CLOCK_SKEW = 30.0
MAX_LOGOUT_AGE = 300.0
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_COMPACT_JWS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_FORBIDDEN_HEADERS = frozenset({"crit", "jku", "x5u", "jwk", "b64"})
_HASHES: dict[str, Callable[[bytes], Any]] = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class IdTokenError(Exception):
    """A token of an identity provider is invalid; the message never quotes it (R98)."""


class IdTokenVerifier:
    """Verifies the tokens of one issuer for one client.

    Parameters
    ----------
    algorithms : iterable of str
        The allow-list; algorithms that are not asymmetric are ignored.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        keys: IdpKeySet,
        algorithms: Iterable[str] = ALGORITHMS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys
        self._algorithms = frozenset(algorithms) & frozenset(ALGORITHMS)
        self._clock = clock
        self._used_ids: OrderedDict[str, float] = OrderedDict()

    async def verify(
        self, token: Any, *, nonce: str | None, access_token: str | None = None, renewed: bool = False
    ) -> dict[str, Any]:
        """Return the claims of an ID token.

        Parameters
        ----------
        nonce : str
            The nonce of this browser session's authorization request.
        access_token : str, optional
            The access token of the same response; compared with ``at_hash`` where that is present.
        renewed : bool
            The token is from a refresh: the nonce may be missing, but must not differ (Core 12.2).

        Raises
        ------
        IdTokenError
        IdpError
            The keys cannot be read.
        """
        header, claims = await self._verify_signature(token, ("jwt",))
        self._check_common_claims(claims)
        token_nonce = claims.get("nonce")
        if not (renewed and token_nonce is None) and not _constant_time_equals(token_nonce, nonce):
            raise IdTokenError("`nonce` is not that of this login")
        if "at_hash" in claims and access_token is not None:
            expected = _half_hash(access_token, header["alg"])
            if expected is not None and not _constant_time_equals(claims["at_hash"], expected):
                raise IdTokenError("`at_hash` does not match the access token")
        return claims

    async def verify_logout(self, token: Any) -> dict[str, Any]:
        """Return the claims of a logout token; each is accepted once.

        Raises
        ------
        IdTokenError, IdpError
        """
        _, claims = await self._verify_signature(token, ("jwt", "logout+jwt"))
        self._check_common_claims(claims, subject=False)
        if "nonce" in claims:
            raise IdTokenError("it contains a `nonce`, so it is not a logout token")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise IdTokenError("`events` does not mark it as a logout token")
        if not isinstance(claims.get("sub"), str) and not isinstance(claims.get("sid"), str):
            raise IdTokenError("it names neither a user (`sub`) nor a session (`sid`)")
        if claims["iat"] < self._clock() - MAX_LOGOUT_AGE:
            raise IdTokenError("it is too old")
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_SUBJECT:
            raise IdTokenError("`jti` is missing")
        self._mark_used(token_id)
        return claims

    def _mark_used(self, token_id: str) -> None:
        now = self._clock()
        while self._used_ids and next(iter(self._used_ids.values())) < now:
            self._used_ids.popitem(last=False)
        if token_id in self._used_ids:
            raise IdTokenError("it was used before")
        # Every recorded token was signed by the provider and expires within minutes, which bounds their number.
        self._used_ids[token_id] = now + MAX_LOGOUT_AGE + 2 * MAX_CLOCK_SKEW

    async def _verify_signature(self, token: Any, types: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        match = _COMPACT_JWS.fullmatch(token) if isinstance(token, str) and len(token) <= MAX_TOKEN_BYTES else None
        if match is None:
            raise IdTokenError("it is not a signed JWT in compact form")
        header, claims = _decode_object(match[1], "header"), _decode_object(match[2], "payload")
        if _FORBIDDEN_HEADERS & header.keys():
            raise IdTokenError("its header contains keys or extensions")
        algorithm, kid, token_type = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if algorithm not in self._algorithms:
            raise IdTokenError("its `alg` is not allowed")
        if not isinstance(token_type, str) or token_type.lower() not in types:
            raise IdTokenError("its `typ` is that of another token type")
        if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_SUBJECT)):
            raise IdTokenError("its `kid` is invalid")
        key = await self._keys.find_key(kid, algorithm)
        if key is None:
            raise IdTokenError("the provider does not publish its key")
        try:
            jwt.PyJWS(algorithms=[algorithm]).decode_complete(token, key.public, algorithms=[algorithm])
        except jwt.PyJWTError:
            raise IdTokenError("its signature is invalid") from None
        return header, claims

    def _check_common_claims(self, claims: dict[str, Any], *, subject: bool = True) -> None:
        if claims.get("iss") != self._issuer:
            raise IdTokenError("`iss` is another issuer")
        subject_given = claims.get("sub")
        if (subject or subject_given is not None) and (
            not isinstance(subject_given, str) or not 0 < len(subject_given) <= MAX_SUBJECT
        ):
            raise IdTokenError("`sub` is missing or not a short text")
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
            raise IdTokenError("`aud` is neither a text nor a list of texts")
        if self._client_id not in audiences:
            raise IdTokenError("`aud` does not name this client")
        if "azp" in claims and claims["azp"] != self._client_id:
            raise IdTokenError("`azp` is another client")
        if len(audiences) > 1 and "azp" not in claims:
            raise IdTokenError("`aud` names several clients, but `azp` is missing")
        now = self._clock()
        if _time_claim(claims, "exp") <= now - MAX_CLOCK_SKEW:
            raise IdTokenError("it has expired (`exp`)")
        if _time_claim(claims, "iat") > now + MAX_CLOCK_SKEW:
            raise IdTokenError("it was issued in the future (`iat`)")
        if "nbf" in claims and _time_claim(claims, "nbf") > now + MAX_CLOCK_SKEW:
            raise IdTokenError("it is not valid yet (`nbf`)")


def _time_claim(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253_402_300_799:
        raise IdTokenError(f"`{name}` is missing or not a time")
    return value


def _decode_object(part: str, name: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value = strict_json.loads(data, max_bytes=MAX_TOKEN_BYTES)
    except (ValueError, Problem):
        raise IdTokenError(f"its {name} is not strict JSON") from None
    if not isinstance(value, dict):
        raise IdTokenError(f"its {name} is not a JSON object")
    return value


def _half_hash(access_token: str, algorithm: str) -> str | None:
    function = _HASHES.get(algorithm[2:])
    if function is None:
        return None  # no specification defines the hash for EdDSA
    digest: bytes = function(access_token.encode("utf-8")).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _constant_time_equals(value: Any, expected: str | None) -> bool:
    return (
        isinstance(value, str)
        and isinstance(expected, str)
        and hmac.compare_digest(value.encode("utf-8", "surrogatepass"), expected.encode())
    )
