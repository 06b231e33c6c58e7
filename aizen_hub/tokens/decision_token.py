"""Decision tokens: signed by the service, they allow the core to execute exactly one decided command."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aizen_hub.tokens.jws import TokenError, TokenErrorCode, sign_jws, verify_jws
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.opaque_token import constant_time_equals

LIFETIME = timedelta(seconds=5)
"""Time within which the core must start a command after the decision (R82)."""
_CLAIMS = frozenset({"iss", "aud", "sub", "project", "jti", "sha256", "iat", "exp"})
_MAX_NAME = 255
_ID = re.compile(r"[0-9a-zA-Z_-]{16,64}")
_LAST_INSTANT = 253_402_300_799


@dataclass(frozen=True, slots=True)
class DecisionToken:
    """The verified content of a decision token.

    Attributes
    ----------
    decision_id : str
        ``jti``; the core executes it once and remembers it.
    body_hash : str
        SHA-256 of the exact request body, in hexadecimal; of the empty body for GET and DELETE.
    """

    subject: str
    project: str | None
    decision_id: str
    body_hash: str
    issued_at: datetime
    expires_at: datetime


def issue_decision_token(
    ring: KeyRing,
    issuer: str,
    audience: str,
    *,
    subject: str,
    project: str | None,
    decision_id: str,
    body: bytes,
    now: datetime,
) -> str:
    """Sign a decision token for the core ``audience``, bound to ``body``, valid for at most five seconds.

    Raises
    ------
    Unavailable
        No usable key (R7).
    ValueError
        A claim that `verify_decision_token` would refuse.
    """
    issued = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "project": project,
        "jti": decision_id,
        "sha256": hashlib.sha256(body).hexdigest(),
        "iat": issued,
        "exp": issued + int(LIFETIME.total_seconds()),
    }
    if not _well_typed(claims):
        raise ValueError("such a decision token cannot be issued")
    return sign_jws(ring, Purpose.DECISION, claims)


def verify_decision_token(
    token: str, body: bytes, ring: KeyRing, issuer: str, audience: str, now: datetime, *, skew: timedelta = timedelta(0)
) -> DecisionToken:
    """Return the content of a valid decision token; this is the check of a core before it executes anything (R82).

    ``skew`` is the tolerated difference between the core's clock and ours. The core itself must make sure that the
    decision was not executed before.

    Raises
    ------
    TokenError
    """
    claims, _ = verify_jws(token, Purpose.DECISION, ring)
    if claims.keys() != _CLAIMS:
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "the decision token does not have exactly the required claims")
    if claims["iss"] != issuer:
        raise TokenError(TokenErrorCode.FOREIGN, "the decision token was issued by another service")
    if claims["aud"] != audience:
        raise TokenError(TokenErrorCode.WRONG_AUDIENCE, "the decision token was made for another core")
    if not _well_typed(claims):
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "a claim of the decision token is invalid")
    issued, ends = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
    if not issued < ends <= issued + LIFETIME:
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "the decision token would be valid for more than five seconds")
    if now >= ends + skew:
        raise TokenError(TokenErrorCode.EXPIRED, "the decision token has expired")
    if now < issued - skew:
        raise TokenError(TokenErrorCode.NOT_YET_VALID, "the decision token is not valid yet")
    if not constant_time_equals(claims["sha256"], hashlib.sha256(body).hexdigest()):
        raise TokenError(TokenErrorCode.BAD_CLAIMS, "the decision token belongs to another body")
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
