"""Decision tokens: what the service hands to the core so that it carries out exactly one decided command."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aizen_hub.tokens.jws import TokenFault, TokenRefused, read, sign
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.opaque_token import same

LIFETIME = timedelta(seconds=5)
"""How long the core may take to start a command after it was decided (R82)."""
_CLAIMS = frozenset({"iss", "aud", "sub", "project", "jti", "sha256", "iat", "exp"})
_MAX_NAME = 255
_ID = re.compile(r"[0-9a-zA-Z_-]{16,64}")
_LAST_INSTANT = 253_402_300_799


@dataclass(frozen=True, slots=True)
class DecisionToken:
    """The verified content of a decision token.

    Attributes
    ----------
    decision : str
        The decision's id (``jti``); the core carries it out once and remembers it.
    body_hash : str
        SHA-256 of the exact body that comes with it, in hexadecimal; of no bytes for GET and DELETE.
    """

    subject: str
    project: str | None
    decision: str
    body_hash: str
    issued_at: datetime
    expires_at: datetime


def issue_decision(
    ring: KeyRing,
    issuer: str,
    audience: str,
    *,
    subject: str,
    project: str | None,
    decision: str,
    body: bytes,
    now: datetime,
) -> str:
    """Sign a decision token for the core ``audience``, bound to ``body``, good for at most five seconds.

    Raises
    ------
    Unavailable
        No usable key (R7).
    ValueError
        A claim that `verify_decision` would refuse.
    """
    issued = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "project": project,
        "jti": decision,
        "sha256": hashlib.sha256(body).hexdigest(),
        "iat": issued,
        "exp": issued + int(LIFETIME.total_seconds()),
    }
    if not _well_typed(claims):
        raise ValueError("no such decision token can be issued")
    return sign(ring, Purpose.DECISION, claims)


def verify_decision(
    token: str, body: bytes, ring: KeyRing, issuer: str, audience: str, now: datetime, *, skew: timedelta = timedelta(0)
) -> DecisionToken:
    """Return the content of a good decision token, as a core checks it before it starts anything (R82).

    ``skew`` is how far the core's clock may be from ours. Whether the decision was carried out before is for the
    core to know.

    Raises
    ------
    TokenRefused
    """
    claims, _ = read(token, Purpose.DECISION, ring)
    if claims.keys() != _CLAIMS:
        raise TokenRefused(TokenFault.BAD_CLAIMS, "the decision token does not hold exactly the claims it must")
    if claims["iss"] != issuer:
        raise TokenRefused(TokenFault.FOREIGN, "the decision token was issued by another service")
    if claims["aud"] != audience:
        raise TokenRefused(TokenFault.WRONG_AUDIENCE, "the decision token was made for another core")
    if not _well_typed(claims):
        raise TokenRefused(TokenFault.BAD_CLAIMS, "a claim of the decision token is not as it must be")
    issued, ends = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
    if not issued < ends <= issued + LIFETIME:
        raise TokenRefused(TokenFault.BAD_CLAIMS, "the decision token would live longer than five seconds")
    if now >= ends + skew:
        raise TokenRefused(TokenFault.EXPIRED, "the decision token has expired")
    if now < issued - skew:
        raise TokenRefused(TokenFault.NOT_YET_VALID, "the decision token is not valid yet")
    if not same(claims["sha256"], hashlib.sha256(body).hexdigest()):
        raise TokenRefused(TokenFault.BAD_CLAIMS, "the decision token belongs to another body")
    return DecisionToken(claims["sub"], claims["project"], claims["jti"], claims["sha256"], issued, ends)


def _well_typed(claims: dict[str, Any]) -> bool:
    return (
        _is_name(claims["sub"])
        and (claims["project"] is None or _is_name(claims["project"]))
        and isinstance(claims["sha256"], str)
        and isinstance(claims["jti"], str)
        and _ID.fullmatch(claims["jti"]) is not None
        and all(type(claims[name]) is int and 0 <= claims[name] <= _LAST_INSTANT for name in ("iat", "exp"))
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME
