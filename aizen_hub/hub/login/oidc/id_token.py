"""ID tokens and logout tokens, verified in full (OpenID Connect Core 3.1.3.7, Back-Channel Logout 2.6; R23)."""

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

from aizen_hub.hub.login.oidc.jwks import ALGORITHMS, IdpKeys
from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

MAX_BYTES = 64 * 1024
MAX_SUBJECT = 255
SKEW = 30.0
MAX_LOGOUT_AGE = 300.0
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_FORBIDDEN = frozenset({"crit", "jku", "x5u", "jwk", "b64"})
_HASHES: dict[str, Callable[[bytes], Any]] = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class TokenFault(Exception):
    """Why a token of an identity provider is refused; never holds a part of it (R98)."""


class IdTokens:
    """Verifies the tokens of one issuer for one client.

    Parameters
    ----------
    algorithms : iterable of str
        The allow-list; anything not asymmetric in it is left out.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        keys: IdpKeys,
        algorithms: Iterable[str] = ALGORITHMS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys
        self._algorithms = frozenset(algorithms) & frozenset(ALGORITHMS)
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    async def verify(
        self, token: Any, *, nonce: str | None, access_token: str | None = None, renewed: bool = False
    ) -> dict[str, Any]:
        """Return the claims of an ID token.

        Parameters
        ----------
        nonce : str
            What this browser session sent.
        access_token : str, optional
            The access token beside it; compared with ``at_hash`` where that is there.
        renewed : bool
            The token came with a refresh: the nonce may be missing, but not differ (Core 12.2).

        Raises
        ------
        TokenFault
        IdpFailed
            The keys cannot be read.
        """
        header, claims = await self._open(token, ("jwt",))
        self._common(claims)
        given = claims.get("nonce")
        if not (renewed and given is None) and not _same(given, nonce):
            raise TokenFault("`nonce` is not that of this sign-in")
        if "at_hash" in claims and access_token is not None:
            expected = _half_hash(access_token, header["alg"])
            if expected is not None and not _same(claims["at_hash"], expected):
                raise TokenFault("`at_hash` does not belong to the access token beside it")
        return claims

    async def verify_logout(self, token: Any) -> dict[str, Any]:
        """Return the claims of a logout token; each is good once.

        Raises
        ------
        TokenFault, IdpFailed
        """
        _, claims = await self._open(token, ("jwt", "logout+jwt"))
        self._common(claims, subject=False)
        if "nonce" in claims:
            raise TokenFault("it holds a `nonce`, so it is no logout token")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise TokenFault("`events` does not say that it is a logout token")
        if not isinstance(claims.get("sub"), str) and not isinstance(claims.get("sid"), str):
            raise TokenFault("it names neither a person (`sub`) nor a session (`sid`)")
        if claims["iat"] < self._clock() - MAX_LOGOUT_AGE:
            raise TokenFault("it is too old")
        number = claims.get("jti")
        if not isinstance(number, str) or not 0 < len(number) <= MAX_SUBJECT:
            raise TokenFault("`jti` is missing")
        self._once(number)
        return claims

    def _once(self, number: str) -> None:
        now = self._clock()
        while self._seen and next(iter(self._seen.values())) < now:
            self._seen.popitem(last=False)
        if number in self._seen:
            raise TokenFault("it was used before")
        # Every token in here was signed by the provider and lives for minutes, which bounds their number.
        self._seen[number] = now + MAX_LOGOUT_AGE + 2 * SKEW

    async def _open(self, token: Any, types: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        form = _FORM.fullmatch(token) if isinstance(token, str) and len(token) <= MAX_BYTES else None
        if form is None:
            raise TokenFault("it is not a signed JWT in compact form")
        header, claims = _object(form[1], "header"), _object(form[2], "payload")
        if _FORBIDDEN & header.keys():
            raise TokenFault("its header names keys or extensions of its own")
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if algorithm not in self._algorithms:
            raise TokenFault("its `alg` is not allowed")
        if not isinstance(kind, str) or kind.lower() not in types:
            raise TokenFault("its `typ` is that of another kind of token")
        if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_SUBJECT)):
            raise TokenFault("its `kid` cannot be one")
        key = await self._keys.find(kid, algorithm)
        if key is None:
            raise TokenFault("it names a key that the provider does not publish")
        try:
            jwt.PyJWS(algorithms=[algorithm]).decode_complete(token, key.public, algorithms=[algorithm])
        except jwt.PyJWTError:
            raise TokenFault("its signature is wrong") from None
        return header, claims

    def _common(self, claims: dict[str, Any], *, subject: bool = True) -> None:
        if claims.get("iss") != self._issuer:
            raise TokenFault("`iss` is another issuer")
        subject_given = claims.get("sub")
        if (subject or subject_given is not None) and (
            not isinstance(subject_given, str) or not 0 < len(subject_given) <= MAX_SUBJECT
        ):
            raise TokenFault("`sub` is missing or not a short text")
        audience = claims.get("aud")
        listed = [audience] if isinstance(audience, str) else audience
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise TokenFault("`aud` is neither a text nor a list of texts")
        if self._client_id not in listed:
            raise TokenFault("`aud` does not name this client")
        if "azp" in claims and claims["azp"] != self._client_id:
            raise TokenFault("`azp` is another client")
        if len(listed) > 1 and "azp" not in claims:
            raise TokenFault("`aud` names several and `azp` none of them")
        now = self._clock()
        if _number(claims, "exp") <= now - SKEW:
            raise TokenFault("it has expired (`exp`)")
        if _number(claims, "iat") > now + SKEW:
            raise TokenFault("it was issued in the future (`iat`)")
        if "nbf" in claims and _number(claims, "nbf") > now + SKEW:
            raise TokenFault("it is not valid yet (`nbf`)")


def _number(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253_402_300_799:
        raise TokenFault(f"`{name}` is missing or not a time")
    return value


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value = strict_json.loads(data, max_bytes=MAX_BYTES)
    except (ValueError, Problem):
        raise TokenFault(f"its {what} is not strict JSON") from None
    if not isinstance(value, dict):
        raise TokenFault(f"its {what} is not a JSON object")
    return value


def _half_hash(access_token: str, algorithm: str) -> str | None:
    function = _HASHES.get(algorithm[2:])
    if function is None:
        return None  # for EdDSA no document fixes the hash
    digest: bytes = function(access_token.encode("utf-8")).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _same(given: Any, expected: str | None) -> bool:
    return (
        isinstance(given, str)
        and isinstance(expected, str)
        and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
    )
