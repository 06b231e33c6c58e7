"""Strict JWS compact serialization on top of PyJWT.

PyJWT alone accepts padding, duplicate members, unknown members and any ``typ`` (F8). Here each token has exactly one
serialization, so that a hash of its bytes identifies it.
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
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey, base64url_encode
from aizen_hub.validation import strict_json

ALGORITHM = "EdDSA"
MAX_BYTES = 8 * 1024
_HEADER = frozenset({"alg", "typ", "kid"})
_SIGNATURE_BYTES = 64
_MAX_HEADER = 512
_COMPACT_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])


class TokenErrorCode(StrEnum):
    """Why a token is refused; stable, part of the API as the problem's ``code``."""

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
    TokenErrorCode.EXPIRED: "renew the token by the exchange of the server's own hub token",
    TokenErrorCode.UNKNOWN_KEY: "renew the token by the exchange of the server's own hub token",
}


class TokenError(NotAuthenticated):
    """A token that is not accepted; neither the message nor its cause ever contains a part of it (R98)."""

    def __init__(self, fault: TokenErrorCode, detail: str) -> None:
        super().__init__(detail, remedy=_REMEDIES.get(fault), extensions={"code": fault.value})
        self.error_code = fault

    @property
    def code(self) -> str:
        return self.error_code.value


def sign_jws(ring: KeyRing, purpose: Purpose, claims: Mapping[str, Any]) -> str:
    """Sign claims with the signing key of this purpose.

    Raises
    ------
    Unavailable
        There is no usable key (R7).
    ValueError
        The token would exceed 8 KiB.
    """
    key, private = ring.signer(purpose)
    token = _JWS.encode(_canonical(claims), private, ALGORITHM, headers={"kid": key.kid, "typ": purpose.typ})
    if len(token) > MAX_BYTES:
        raise ValueError(f"a token has at most {MAX_BYTES} bytes")
    return token


def verify_jws(token: str, purpose: Purpose, ring: KeyRing) -> tuple[dict[str, Any], SigningKey]:
    """Verify format, header and signature; return the unchecked claims and the signing key (R36-R43).

    Everything that can be refused without cryptography is refused first.

    Raises
    ------
    TokenError
    """
    if len(token) > MAX_BYTES:
        raise TokenError(TokenErrorCode.MALFORMED, f"the token has more than {MAX_BYTES} bytes")
    match = _COMPACT_FORM.fullmatch(token)
    if match is None:
        raise TokenError(TokenErrorCode.MALFORMED, "the token is not a signed JWT in compact form")
    header_bytes, payload, signature = (_decode_part(part) for part in match.groups())
    if len(header_bytes) > _MAX_HEADER:
        raise TokenError(TokenErrorCode.MALFORMED, f"the token's header has more than {_MAX_HEADER} bytes")
    if len(signature) != _SIGNATURE_BYTES:
        raise TokenError(TokenErrorCode.MALFORMED, "the token's signature has a wrong length")
    header = _parse_object(header_bytes, "header")
    if header.keys() != _HEADER:
        raise TokenError(TokenErrorCode.MALFORMED, "the token's header must have exactly `alg`, `kid` and `typ`")
    if header["alg"] != ALGORITHM:
        raise TokenError(TokenErrorCode.MALFORMED, f"the token's algorithm is not `{ALGORITHM}`")
    if header["typ"] != purpose.typ:
        raise TokenError(TokenErrorCode.WRONG_TYPE, f"the token is not of the type `{purpose.typ}`")
    kid = header["kid"]
    key = ring.verifier(purpose, kid) if isinstance(kid, str) else None
    if key is None:
        raise TokenError(TokenErrorCode.UNKNOWN_KEY, "the token names a key that is unknown or withdrawn")
    try:
        _JWS.decode_complete(token, key.public_key, algorithms=[ALGORITHM])
    except jwt.PyJWTError:
        raise TokenError(TokenErrorCode.BAD_SIGNATURE, "the token's signature is wrong") from None
    return _parse_object(payload, "payload"), key


def _decode_part(part: str) -> bytes:
    if len(part) % 4 == 1:
        raise TokenError(TokenErrorCode.MALFORMED, "the token is not canonical base64url")
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64url_encode(data) != part:  # unused bits that are not zero: a second encoding of the same bytes (T-14)
        raise TokenError(TokenErrorCode.MALFORMED, "the token is not canonical base64url")
    return data


def _parse_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(data, max_bytes=MAX_BYTES, max_depth=4, max_keys=64)
    except Problem:
        # The parser's own message may quote the input.
        raise TokenError(TokenErrorCode.MALFORMED, f"the token's {what} is not strict JSON") from None
    if not isinstance(value, dict):
        raise TokenError(TokenErrorCode.MALFORMED, f"the token's {what} is not a JSON object")
    if _canonical(value) != data:
        raise TokenError(TokenErrorCode.MALFORMED, f"the token's {what} is not in canonical form")
    return value


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
