"""Role tokens: user, session and project, for a few minutes. They restrict; they never grant a right (R49)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, TypeVar

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.tokens.jws import TokenError, TokenErrorCode, sign_jws, verify_jws
from aizen_hub.tokens.keys import CLOCK_SKEW, MAX_LIFETIME, KeyRing, Purpose
from aizen_hub.tokens.opaque_token import new_id

DEFAULT_LIFETIME = timedelta(minutes=5)
_REQUIRED = frozenset({"iss", "aud", "sub", "sid", "project", "roles", "rev", "jti", "iat", "nbf", "exp"})
_OPTIONAL = frozenset({"scope", "act"})
_ID = re.compile(r"[0-9a-f]{32}")
_MAX_NAME = 255
_MAX_LIST = 256
_ROLES_BYTES = 2048
_SCOPE_BYTES = 2048
_MAX_TIMESTAMP = 253_402_300_799  # the last second of the year 9999, the end of datetime
_Claim = TypeVar("_Claim")


@dataclass(frozen=True, slots=True)
class RoleToken:
    """The verified content of a role token (RFC 9068 in spirit; R44).

    Attributes
    ----------
    subject : str
        The user's canonical name (``sub``).
    session_id : str
        The session that the token is bound to (``sid``).
    project : str or None
        None for a system session.
    roles : tuple of str
        Informative only: decisions never use them.
    revision : int
        The store's revision at which it was issued (``rev``).
    scope : frozenset of str or None
        Permissions to which this token is restricted; None if it is not.
    actor : str or None
        The identity that acts for the subject, as ``kind:name`` (``act``; RFC 8693, 4.1).
    key_id : str
        The key that signed it; a decision checks in its own transaction that the key is not withdrawn.
    """

    subject: str
    session_id: str
    project: str | None
    roles: tuple[str, ...]
    revision: int
    token_id: str
    issued_at: datetime
    not_before: datetime
    expires_at: datetime
    scope: frozenset[str] | None = None
    actor: str | None = None
    key_id: str = ""

    def excludes(self, permission: Permission) -> bool:
        """Return whether the token's scope excludes this permission."""
        return self.scope is not None and not any(Permission.parse(item).covers(permission) for item in self.scope)


def issue_role_token(
    ring: KeyRing,
    issuer: str,
    audience: str,
    *,
    subject: str,
    session_id: str,
    project: str | None,
    roles: Iterable[str],
    revision: int,
    now: datetime,
    lifetime: timedelta = DEFAULT_LIFETIME,
    scope: Iterable[str] | None = None,
    actor: str | None = None,
    token_id: str | None = None,
) -> str:
    """Sign a role token.

    Since ``roles`` are informative only, the list is truncated to 2 KiB, so that users with very many roles get a token
    too.

    Raises
    ------
    Unavailable
        No usable key (R7).
    ValueError
        A claim that the verifier would refuse; a lifetime over ten minutes (R45).
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "sid": session_id,
        "project": project,
        "roles": _bounded_roles(roles),
        "rev": revision,
        "jti": new_id() if token_id is None else token_id,
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(lifetime.total_seconds()),
    }
    if scope is not None:
        claims["scope"] = " ".join(sorted({str(Permission.parse(item)) for item in scope}))
    if actor is not None:
        claims["act"] = {"sub": actor}
    try:
        _check_claims(claims, issuer, audience)
    except TokenError as error:
        raise ValueError(f"such a token cannot be issued: {error.detail}") from None
    return sign_jws(ring, Purpose.ROLE, claims)


class RoleTokenVerifier:
    """Verifies role tokens strictly (R36-R45) and caches the valid ones.

    The cache is bounded, filled only after verification, keyed by the SHA-256 of the exact bytes (F8), and saves only
    the signature check and the parsing: times and the state of the key are checked on every use.

    Parameters
    ----------
    ring : KeyRing
        Can be replaced at any time by a newer one, see `update_keys`.
    issuer, audience : str
        Compared exactly.
    cache_size : int
        Number of verified tokens in the cache; the one that was verified first is dropped first, as it ends first.
    """

    def __init__(self, ring: KeyRing, issuer: str, audience: str, *, cache_size: int = 10_000) -> None:
        self.ring = ring
        self.issuer = issuer
        self.audience = audience
        self._cache_size = cache_size
        self._cache: dict[bytes, RoleToken] = {}
        self._lock = Lock()

    def update_keys(self, ring: KeyRing) -> None:
        """Use ``ring`` unless the current one is newer."""
        with self._lock:
            if ring.revision >= self.ring.revision:
                self.ring = ring

    def verify(self, token: str, now: datetime) -> RoleToken:
        """Return the content of a valid token.

        Parameters
        ----------
        token : str
            The exact text, without an authentication scheme.
        now : datetime
            The current time, with time zone.

        Raises
        ------
        TokenError
            With the reason in ``code``; never with a part of the token.
        """
        ring = self.ring
        cache_key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        verified = self._cache.get(cache_key)
        if verified is None:
            claims, key = verify_jws(token, Purpose.ROLE, ring)
            verified = _check_claims(claims, self.issuer, self.audience, key.kid)
            _check_times(verified, now)
            self._store(cache_key, verified)
        else:
            _check_times(verified, now)
        signing_key = ring.verifier(Purpose.ROLE, verified.key_id)
        if signing_key is None or not signing_key.could_have_signed_at(verified.issued_at):
            raise TokenError(
                TokenErrorCode.UNKNOWN_KEY, "the token's key is withdrawn, or was retired before the token was issued"
            )
        return verified

    def _store(self, cache_key: bytes, token: RoleToken) -> None:
        with self._lock:
            self._cache[cache_key] = token
            while len(self._cache) > self._cache_size:
                del self._cache[next(iter(self._cache))]


def _check_times(token: RoleToken, now: datetime) -> None:
    if now >= token.expires_at:
        raise TokenError(TokenErrorCode.EXPIRED, "the token has expired")
    # Clock skew is tolerated only at the start: a token is never valid for longer than it says.
    if now < token.not_before - CLOCK_SKEW or now < token.issued_at - CLOCK_SKEW:
        raise TokenError(TokenErrorCode.NOT_YET_VALID, "the token is not valid yet")


def _check_claims(claims: Mapping[str, Any], issuer: str, audience: str, key_id: str = "") -> RoleToken:
    missing, unknown = _REQUIRED - claims.keys(), claims.keys() - _REQUIRED - _OPTIONAL
    if missing:
        raise TokenError(TokenErrorCode.BAD_CLAIMS, f"the token lacks the claim `{min(missing)}`")
    if unknown:
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "the token has an unknown claim")
    if _typed(claims, "iss", str) != issuer:
        raise TokenError(TokenErrorCode.FOREIGN, "the token was issued by another service")
    if _typed(claims, "aud", str) != audience:
        raise TokenError(TokenErrorCode.WRONG_AUDIENCE, "the token was made for another audience")
    issued, begins, ends = (_timestamp(claims, name) for name in ("iat", "nbf", "exp"))
    if not issued <= begins < ends:
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "the token's times contradict each other")
    if ends - issued > MAX_LIFETIME:
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "the token would be valid for more than ten minutes")
    revision = _typed(claims, "rev", int)
    if not 0 <= revision < 1 << 63:
        raise _invalid_claim("rev")
    return RoleToken(
        subject=_name(claims, "sub"),
        session_id=_id(claims, "sid"),
        project=None if claims["project"] is None else _name(claims, "project"),
        roles=_names(claims, "roles"),
        revision=revision,
        token_id=_id(claims, "jti"),
        issued_at=issued,
        not_before=begins,
        expires_at=ends,
        scope=_scope(claims) if "scope" in claims else None,
        actor=_actor(claims) if "act" in claims else None,
        key_id=key_id,
    )


def _invalid_claim(name: str) -> TokenError:
    return TokenError(TokenErrorCode.BAD_CLAIMS, f"the token's claim `{name}` is invalid")


def _typed(claims: Mapping[str, Any], name: str, kind: type[_Claim]) -> _Claim:
    value = claims[name]
    if type(value) is not kind:  # exactly: True is an int for isinstance
        raise _invalid_claim(name)
    return value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


def _name(claims: Mapping[str, Any], name: str) -> str:
    value = _typed(claims, name, str)
    if not _is_name(value):
        raise _invalid_claim(name)
    return value


def _names(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = _typed(claims, name, list)
    if len(values) > _MAX_LIST or not all(map(_is_name, values)) or len(set(values)) != len(values):
        raise _invalid_claim(name)
    return tuple(values)


def _id(claims: Mapping[str, Any], name: str) -> str:
    value = _typed(claims, name, str)
    if not _ID.fullmatch(value):
        raise _invalid_claim(name)
    return value


def _timestamp(claims: Mapping[str, Any], name: str) -> datetime:
    value = _typed(claims, name, int)
    if not 0 <= value <= _MAX_TIMESTAMP:
        raise _invalid_claim(name)
    return datetime.fromtimestamp(value, UTC)


def _scope(claims: Mapping[str, Any]) -> frozenset[str]:
    text = _typed(claims, "scope", str)
    if len(text) > _SCOPE_BYTES:
        raise _invalid_claim("scope")
    parts = text.split(" ")
    try:
        exact = all(str(Permission.parse(part)) == part for part in parts)
    except ValueError:
        raise _invalid_claim("scope") from None
    if not exact or len(set(parts)) != len(parts) or len(parts) > _MAX_LIST:
        raise _invalid_claim("scope")
    return frozenset(parts)


def _actor(claims: Mapping[str, Any]) -> str:
    # One level only: an actor of an actor is refused (R54).
    actor = _typed(claims, "act", dict)
    if actor.keys() != {"sub"}:
        raise _invalid_claim("act")
    name = _name(actor, "sub")
    try:
        Identity.parse(name)
    except ValueError:
        raise _invalid_claim("act") from None
    return name


def _bounded_roles(roles: Iterable[str]) -> list[str]:
    result: list[str] = []
    remaining = _ROLES_BYTES
    for role in dict.fromkeys(roles):
        remaining -= len(role.encode()) + 3
        if remaining < 0 or len(result) == _MAX_LIST:
            break
        result.append(role)
    return result
