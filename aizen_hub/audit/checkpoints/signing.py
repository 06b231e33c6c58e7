"""Signing and verification of checkpoints and archive manifests with the checkpoint keys."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature

from aizen_hub.audit.checkpoints.signed_json import SignatureCheck, Signer
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey


def checkpoint_signer(ring: KeyRing) -> Signer:
    """Return a function that signs with the current checkpoint key; it raises `Unavailable` if there is none."""

    def sign(data: bytes) -> tuple[str, bytes]:
        key, private = ring.signer(Purpose.CHECKPOINT)
        return key.kid, private.sign(data)

    return sign


def signature_check(keys: Iterable[SigningKey]) -> SignatureCheck:
    """Return a function that verifies a signature by one of these keys, including those withdrawn since."""
    public_keys = {key.kid: key.public_key for key in keys if key.purpose is Purpose.CHECKPOINT}

    def check(kid: str, data: bytes, signature: bytes) -> bool:
        key = public_keys.get(kid)
        if key is None:
            return False
        try:
            key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return check
