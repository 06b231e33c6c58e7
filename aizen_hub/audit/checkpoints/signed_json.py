"""Signed JSON, one object per line: ``{"content": {…}, "kid": "…", "signature": "…"}``.

Checkpoints and archive manifests are written in this form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aizen_hub.store.audit_log.record import canonical_json

Signer = Callable[[bytes], tuple[str, bytes]]
"""Signs bytes: returns the id of the key and the signature."""
SignatureCheck = Callable[[str, bytes, bytes], bool]
"""Verifies a signature: takes the id of the key, the signed bytes and the signature."""


class SignedJson(NamedTuple):
    """A parsed line: the content, the id of the signing key and the signature."""

    content: dict[str, Any]
    kid: str
    signature: bytes

    def is_signed_by(self, prefix: bytes, check: SignatureCheck) -> bool:
        """Whether the content was signed, with this prefix, by a key that ``check`` accepts."""
        return check(self.kid, prefix + canonical_json(self.content).encode(), self.signature)


def encode_signed(content: Mapping[str, Any], prefix: bytes, sign: Signer) -> str:
    """Return the content as signed JSON, without a newline.

    Parameters
    ----------
    prefix : bytes
        Differs for each kind of content, so that a signature made for another purpose is not valid (R43).
    """
    kid, signature = sign(prefix + canonical_json(content).encode())
    return canonical_json({"content": content, "kid": kid, "signature": signature.hex()})


def parse_signed(line: bytes | str) -> SignedJson | None:
    """Parse a line without verifying its signature; None if it is not signed JSON."""
    try:
        data = json.loads(line)
        content, kid, signature = data["content"], data["kid"], bytes.fromhex(data["signature"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(kid, str):
        return None
    return SignedJson(content, kid, signature)
