"""Role tokens: who, which session, which project, for a few minutes. They narrow; they never give a right (R49)."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, TypeVar

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.tokens.jws import TokenFault, TokenRefused, read, sign
from aizen_hub.tokens.keys import MAX_LIFETIME, SKEW, KeyRing, Purpose
from aizen_hub.tokens.opaque_token import new_id

DEFAULT_LIFETIME = timedelta(minutes=5)
_REQUIRED = frozenset({"iss", "aud", "sub", "sid", "project", "roles", "rev", "jti", "iat", "nbf", "exp"})
_OPTIONAL = frozenset({"scope", "act"})
_ID = re.compile(r"[0-9a-f]{32}")
_MAX_NAME = 255
_MAX_LIST = 256
_ROLES_BYTES = 2048
_SCOPE_BYTES = 2048
_LAST_INSTANT = 253_402_300_799  # the last second of the year 9999, where datetime ends
_Claim = TypeVar("_Claim")


@dataclass(frozen=True, slots=True)
class RoleToken:
    """The verified content of a role token (RFC 9068 in spirit; R44).

    Attributes
    ----------
    subject : str
        The user's canonical name (``sub``).
    session : str
        The session it is bound to (``sid``).
    project : str or None
        None for a system session.
    roles : tuple of str
        For reading only: nothing is ever decided from them.
    revision : int
        The store's revision at which it was issued (``rev``).
    scope : frozenset of str or None
        Permissions to which this token is narrowed; None if it is not.
    actor : str or None
        Who acts for the subject, as ``kind:name`` (``act``; RFC 8693, 4.1).
    key_id : str
        The key that signed it, so that a decision can check in its own transaction that it is not withdrawn.
    """

    subject: str
    session: str
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

    def narrows(self, permission: Permission) -> bool:
        """Tell whether the token's own scope takes this permission away."""
        return self.scope is not None and not any(Permission.parse(one).covers(permission) for one in self.scope)


def issue(
    ring: KeyRing,
    issuer: str,
    audience: str,
    *,
    subject: str,
    session: str,
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

    Since ``roles`` are for reading only, the list is cut where it would pass 2 KiB, rather than that somebody with very
    many roles gets no token.

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
        "sid": session,
        "project": project,
        "roles": _cut(roles),
        "rev": revision,
        "jti": new_id() if token_id is None else token_id,
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(lifetime.total_seconds()),
    }
    if scope is not None:
        claims["scope"] = " ".join(sorted({str(Permission.parse(one)) for one in scope}))
    if actor is not None:
        claims["act"] = {"sub": actor}
    try:
        _judge(claims, issuer, audience)
    except TokenRefused as refused:
        raise ValueError(f"no such token can be issued: {refused.detail}") from None
    return sign(ring, Purpose.ROLE, claims)


class Verifier:
    """Checks role tokens strictly (R36-R45), and remembers the good ones.

    The memory is bounded, filled only after verification, keyed by the SHA-256 of the exact bytes (F8), and spares the
    signature and the parsing only: times and the state of the key are judged anew at every use.

    Parameters
    ----------
    ring : KeyRing
        May be replaced at any time by a newer one through the attribute ``ring``.
    issuer, audience : str
        Compared exactly.
    remembered : int
        How many verified tokens are kept, the least recently used one goes first.
    """

    def __init__(self, ring: KeyRing, issuer: str, audience: str, *, remembered: int = 10_000) -> None:
        self.ring = ring
        self.issuer = issuer
        self.audience = audience
        self._remembered = remembered
        self._known: OrderedDict[bytes, RoleToken] = OrderedDict()
        self._guard = Lock()

    def advance(self, ring: KeyRing) -> None:
        """Take over ``ring`` unless the one at hand is newer."""
        with self._guard:
            if ring.revision >= self.ring.revision:
                self.ring = ring

    def verify(self, token: str, now: datetime) -> RoleToken:
        """Return the content of a good token.

        Parameters
        ----------
        token : str
            The exact text, without any scheme.
        now : datetime
            The time to judge by, with its zone.

        Raises
        ------
        TokenRefused
            With the class of the failure in ``code``; never with a part of the token.
        """
        ring = self.ring
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        with self._guard:
            known = self._known.get(name)
            if known is not None:
                self._known.move_to_end(name)
        if known is None:
            claims, key = read(token, Purpose.ROLE, ring)
            known = _judge(claims, self.issuer, self.audience, key.kid)
            _check_times(known, now)
            self._remember(name, known)
        else:
            _check_times(known, now)
        key_now = ring.verifier(Purpose.ROLE, known.key_id)
        if key_now is None or not key_now.signed_at(known.issued_at):
            raise TokenRefused(TokenFault.UNKNOWN_KEY, "the token's key is withdrawn or had been retired before")
        return known

    def _remember(self, name: bytes, token: RoleToken) -> None:
        with self._guard:
            self._known[name] = token
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)


def _check_times(token: RoleToken, now: datetime) -> None:
    if now >= token.expires_at:
        raise TokenRefused(TokenFault.EXPIRED, "the token has expired")
    # Only the beginning has an allowance: a token is never good for longer than it says.
    if now < token.not_before - SKEW or now < token.issued_at - SKEW:
        raise TokenRefused(TokenFault.NOT_YET_VALID, "the token is not valid yet")


def _judge(claims: Mapping[str, Any], issuer: str, audience: str, key_id: str = "") -> RoleToken:
    missing, unknown = _REQUIRED - claims.keys(), claims.keys() - _REQUIRED - _OPTIONAL
    if missing:
        raise TokenRefused(TokenFault.BAD_CLAIMS, f"the token lacks the claim `{min(missing)}`")
    if unknown:
        raise TokenRefused(TokenFault.BAD_CLAIMS, "the token holds a claim that is not ours")
    if _typed(claims, "iss", str) != issuer:
        raise TokenRefused(TokenFault.FOREIGN, "the token was issued by another service")
    if _typed(claims, "aud", str) != audience:
        raise TokenRefused(TokenFault.WRONG_AUDIENCE, "the token was made for another audience")
    issued, begins, ends = (_instant(claims, name) for name in ("iat", "nbf", "exp"))
    if not issued <= begins < ends:
        raise TokenRefused(TokenFault.BAD_CLAIMS, "the token's times contradict each other")
    if ends - issued > MAX_LIFETIME:
        raise TokenRefused(TokenFault.BAD_CLAIMS, "the token would live longer than ten minutes")
    revision = _typed(claims, "rev", int)
    if not 0 <= revision < 1 << 63:
        raise _bad("rev")
    return RoleToken(
        subject=_name(claims, "sub"),
        session=_id(claims, "sid"),
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


def _bad(name: str) -> TokenRefused:
    return TokenRefused(TokenFault.BAD_CLAIMS, f"the token's claim `{name}` is not as it must be")


def _typed(claims: Mapping[str, Any], name: str, kind: type[_Claim]) -> _Claim:
    value = claims[name]
    if type(value) is not kind:  # exactly: True is an int for isinstance
        raise _bad(name)
    return value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


def _name(claims: Mapping[str, Any], name: str) -> str:
    value = _typed(claims, name, str)
    if not _is_name(value):
        raise _bad(name)
    return value


def _names(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = _typed(claims, name, list)
    if len(values) > _MAX_LIST or not all(map(_is_name, values)) or len(set(values)) != len(values):
        raise _bad(name)
    return tuple(values)


def _id(claims: Mapping[str, Any], name: str) -> str:
    value = _typed(claims, name, str)
    if not _ID.fullmatch(value):
        raise _bad(name)
    return value


def _instant(claims: Mapping[str, Any], name: str) -> datetime:
    value = _typed(claims, name, int)
    if not 0 <= value <= _LAST_INSTANT:
        raise _bad(name)
    return datetime.fromtimestamp(value, UTC)


def _scope(claims: Mapping[str, Any]) -> frozenset[str]:
    text = _typed(claims, "scope", str)
    if len(text) > _SCOPE_BYTES:
        raise _bad("scope")
    parts = text.split(" ")
    try:
        exact = all(str(Permission.parse(part)) == part for part in parts)
    except ValueError:
        raise _bad("scope") from None
    if not exact or len(set(parts)) != len(parts) or len(parts) > _MAX_LIST:
        raise _bad("scope")
    return frozenset(parts)


def _actor(claims: Mapping[str, Any]) -> str:
    # One level only: an actor of an actor is refused (R54).
    actor = _typed(claims, "act", dict)
    if actor.keys() != {"sub"}:
        raise _bad("act")
    name = _name(actor, "sub")
    try:
        Identity.parse(name)
    except ValueError:
        raise _bad("act") from None
    return name


def _cut(roles: Iterable[str]) -> list[str]:
    out: list[str] = []
    room = _ROLES_BYTES
    for role in dict.fromkeys(roles):
        room -= len(role.encode()) + 3
        if room < 0 or len(out) == _MAX_LIST:
            break
        out.append(role)
    return out
