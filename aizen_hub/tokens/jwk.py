"""Public keys of clients as JSON Web Keys, in the two types accepted for DPoP (RFC 7517)."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from aizen_hub.tokens.keys import base64url_encode

ALGORITHMS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
"""The only algorithm of each key type (RFC 8725, 3.1); all are asymmetric."""
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of private keys (RFC 7518, 6)."""
_COORDINATES = {("OKP", "Ed25519"): ("x",), ("EC", "P-256"): ("x", "y")}
_PART_BYTES = 32
_SIGNATURE_BYTES = 64
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """A public key whose private key a client has.

    Attributes
    ----------
    thumbprint : str
        SHA-256 of the required members, base64url; independent of the serialization (RFC 7638).
    algorithm : str
        The ``alg`` of its signatures.
    """

    thumbprint: str
    algorithm: str
    _key: Ed25519PublicKey | EllipticCurvePublicKey

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Self:
        """Parse a key that has exactly the required members.

        Raises
        ------
        ValueError
            Another type of key, a missing or additional member, a member of a private key, or not a point of the curve;
            the message contains nothing of the input.
        """
        kty, crv = members.get("kty"), members.get("crv")
        if not isinstance(kty, str) or not isinstance(crv, str) or (kty, crv) not in _COORDINATES:
            raise ValueError("the key must be of the type `OKP` with `Ed25519`, or `EC` with `P-256`")
        parts = _COORDINATES[kty, crv]
        if members.keys() != {"kty", "crv", *parts}:
            raise ValueError(f"a key of this type has exactly the members `kty`, `crv`, {' and '.join(parts)}")
        coordinates = [base64url_decode(members[name]) for name in parts]
        if any(len(value) != _PART_BYTES for value in coordinates):
            raise ValueError(f"each part of the key has {_PART_BYTES} bytes")
        key: Ed25519PublicKey | EllipticCurvePublicKey
        if kty == "OKP":
            key = Ed25519PublicKey.from_public_bytes(coordinates[0])
        else:
            x, y = (int.from_bytes(value, "big") for value in coordinates)
            try:
                key = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
            except ValueError:
                raise ValueError("the key is not a point of its curve") from None
        text = json.dumps(dict(members), sort_keys=True, separators=(",", ":"))
        return cls(base64url_encode(hashlib.sha256(text.encode()).digest()), ALGORITHMS[kty, crv], key)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether the signature of the data is by this key (RFC 8037, 3.1; RFC 7518, 3.4)."""
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, data)
            else:
                r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
                self._key.verify(encode_dss_signature(r, s), data, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def base64url_decode(text: object) -> bytes:
    """Decode canonical base64url: no padding, no other characters, unused bits zero (RFC 7515, 2).

    Raises
    ------
    ValueError
    """
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url without padding")
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url_encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
