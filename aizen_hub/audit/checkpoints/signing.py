"""Signing and checking with the keys that vouch for the audit."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature

from aizen_hub.audit.checkpoints.signed_json import Check, Sign
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey


def signer(ring: KeyRing) -> Sign:
    """Return what signs with the present checkpoint key; calling it raises `Unavailable` while there is none."""

    def sign(data: bytes) -> tuple[str, bytes]:
        key, private = ring.signer(Purpose.CHECKPOINT)
        return key.kid, private.sign(data)

    return sign


def checker(keys: Iterable[SigningKey]) -> Check:
    """Return what tells whether one of these keys signed; those that are withdrawn since count too."""
    known = {key.kid: key.public for key in keys if key.purpose is Purpose.CHECKPOINT}

    def check(kid: str, data: bytes, signature: bytes) -> bool:
        key = known.get(kid)
        if key is None:
            return False
        try:
            key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return check
