"""Signed tokens in their one exact form: JWS compact serialization around PyJWT, with everything else refused.

PyJWT alone accepts padding, duplicate members, members it does not know and any type (F8); here each token has exactly
one spelling, so that a hash of its bytes names it.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import jwt

from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey, encode
from aizen_hub.validation import strict_json

ALGORITHM = "EdDSA"
MAX_BYTES = 8 * 1024
_HEADER = frozenset({"alg", "typ", "kid"})
_SIGNATURE_BYTES = 64
_MAX_HEADER = 512
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])


class TokenFault(StrEnum):
    """Why a token was refused; stable, part of the API as the problem's ``code``."""

    MALFORMED = "malformed"
    WRONG_TYPE = "wrong-type"
    UNKNOWN_KEY = "unknown-key"
    BAD_SIGNATURE = "bad-signature"
    BAD_CLAIMS = "bad-claims"
    FOREIGN = "foreign"
    WRONG_AUDIENCE = "wrong-audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"


_REMEDIES = {
    TokenFault.EXPIRED: "renew the token by the exchange of the server's own hub token",
    TokenFault.UNKNOWN_KEY: "renew the token by the exchange of the server's own hub token",
}


class TokenRefused(NotAuthenticated):
    """A token that is not accepted; neither the sentence nor its cause ever holds a part of it (R98)."""

    def __init__(self, fault: TokenFault, detail: str) -> None:
        super().__init__(detail, remedy=_REMEDIES.get(fault), more={"code": fault.value})
        self.fault = fault

    @property
    def code(self) -> str:
        return self.fault.value


def sign(ring: KeyRing, purpose: Purpose, claims: Mapping[str, Any]) -> str:
    """Sign claims with the ring's key for this purpose.

    Raises
    ------
    Unavailable
        There is no usable key (R7).
    ValueError
        The token would pass 8 KiB.
    """
    key, private = ring.signer(purpose)
    token = _JWS.encode(_canonical(claims), private, ALGORITHM, headers={"kid": key.kid, "typ": purpose.typ})
    if len(token) > MAX_BYTES:
        raise ValueError(f"a token has at most {MAX_BYTES} bytes")
    return token


def read(token: str, purpose: Purpose, ring: KeyRing) -> tuple[dict[str, Any], SigningKey]:
    """Check form, header and signature and return the claims, unjudged, with the key that signed them (R36-R43).

    Everything that can be refused without cryptography is refused before it.

    Raises
    ------
    TokenRefused
    """
    if len(token) > MAX_BYTES:
        raise TokenRefused(TokenFault.MALFORMED, f"the token has more than {MAX_BYTES} bytes")
    form = _FORM.fullmatch(token)
    if form is None:
        raise TokenRefused(TokenFault.MALFORMED, "the token is not a signed JWT in compact form")
    header_bytes, payload, signature = (_decode(part) for part in form.groups())
    if len(header_bytes) > _MAX_HEADER:
        raise TokenRefused(TokenFault.MALFORMED, f"the token's header has more than {_MAX_HEADER} bytes")
    if len(signature) != _SIGNATURE_BYTES:
        raise TokenRefused(TokenFault.MALFORMED, "the token's signature has a wrong length")
    header = _object(header_bytes, "header")
    if header.keys() != _HEADER:
        raise TokenRefused(TokenFault.MALFORMED, "the token's header must hold exactly `alg`, `kid` and `typ`")
    if header["alg"] != ALGORITHM:
        raise TokenRefused(TokenFault.MALFORMED, f"the token's algorithm is not `{ALGORITHM}`")
    if header["typ"] != purpose.typ:
        raise TokenRefused(TokenFault.WRONG_TYPE, f"the token is not of the type `{purpose.typ}`")
    kid = header["kid"]
    key = ring.verifier(purpose, kid) if isinstance(kid, str) else None
    if key is None:
        raise TokenRefused(TokenFault.UNKNOWN_KEY, "the token names a key that is unknown or withdrawn")
    try:
        _JWS.decode_complete(token, key.public, algorithms=[ALGORITHM])
    except jwt.PyJWTError:
        raise TokenRefused(TokenFault.BAD_SIGNATURE, "the token's signature is wrong") from None
    return _object(payload, "payload"), key


def _decode(part: str) -> bytes:
    if len(part) % 4 == 1:
        raise TokenRefused(TokenFault.MALFORMED, "the token is not canonical base64url")
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if encode(data) != part:  # unused bits that are not zero: a second spelling of the same bytes (T-14)
        raise TokenRefused(TokenFault.MALFORMED, "the token is not canonical base64url")
    return data


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(data, max_bytes=MAX_BYTES, max_depth=4, max_keys=64)
    except Problem:
        # The reader's own sentence may quote the input.
        raise TokenRefused(TokenFault.MALFORMED, f"the token's {what} is not strict JSON") from None
    if not isinstance(value, dict):
        raise TokenRefused(TokenFault.MALFORMED, f"the token's {what} is not a JSON object")
    if _canonical(value) != data:
        raise TokenRefused(TokenFault.MALFORMED, f"the token's {what} is not in its one canonical spelling")
    return value


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
