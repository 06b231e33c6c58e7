"""Public keys of others as JSON Web Keys, in the two kinds that a proof of possession may be made with (RFC 7517)."""

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

from aizen_hub.tokens.keys import encode

ALGORITHMS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
"""The one algorithm of each kind of key (RFC 8725, 3.1), asymmetric all."""
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members that only the owner of a key may have (RFC 7518, 6)."""
_PARTS = {("OKP", "Ed25519"): ("x",), ("EC", "P-256"): ("x", "y")}
_PART_BYTES = 32
_SIGNATURE_BYTES = 64
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """A public key that somebody else holds the private half of.

    Attributes
    ----------
    thumbprint : str
        SHA-256 of the members that make the key, base64url: the same for every spelling of it (RFC 7638).
    algorithm : str
        The one ``alg`` of a signature by it.
    """

    thumbprint: str
    algorithm: str
    _key: Ed25519PublicKey | EllipticCurvePublicKey

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        """Read exactly the members that make a key.

        Raises
        ------
        ValueError
            Another kind of key, a member too few or too many, one of a private half among them, or no point of the
            curve; the sentence holds nothing of the input.
        """
        kty, crv = members.get("kty"), members.get("crv")
        if not isinstance(kty, str) or not isinstance(crv, str) or (kty, crv) not in _PARTS:
            raise ValueError("the key must be of the type `OKP` with `Ed25519`, or `EC` with `P-256`")
        parts = _PARTS[kty, crv]
        if members.keys() != {"kty", "crv", *parts}:
            raise ValueError(f"a key of this type has exactly the members `kty`, `crv`, {' and '.join(parts)}")
        numbers = [decode(members[one]) for one in parts]
        if any(len(one) != _PART_BYTES for one in numbers):
            raise ValueError(f"each part of the key has {_PART_BYTES} bytes")
        key: Ed25519PublicKey | EllipticCurvePublicKey
        if kty == "OKP":
            key = Ed25519PublicKey.from_public_bytes(numbers[0])
        else:
            x, y = (int.from_bytes(one, "big") for one in numbers)
            try:
                key = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
            except ValueError:
                raise ValueError("the key is no point of its curve") from None
        text = json.dumps(dict(members), sort_keys=True, separators=(",", ":"))
        return cls(encode(hashlib.sha256(text.encode()).digest()), ALGORITHMS[kty, crv], key)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Tell whether this key signed the data (RFC 8037, 3.1; RFC 7518, 3.4)."""
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


def decode(text: object) -> bytes:
    """Read base64url in its one exact spelling: no padding, no other characters, no bits left over (RFC 7515, 2).

    Raises
    ------
    ValueError
    """
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url without padding")
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("not base64url in its one exact spelling")
    return data
