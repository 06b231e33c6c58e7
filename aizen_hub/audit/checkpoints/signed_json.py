"""One signed line of JSON: ``{"content": {…}, "kid": "…", "signature": "…"}``, as checkpoints and seals are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aizen_hub.store.audit_log.record import canonical

Sign = Callable[[bytes], tuple[str, bytes]]
"""Returns the id of the key and the signature."""
Check = Callable[[str, bytes, bytes], bool]
"""Takes the id of the key, what was signed, and the signature."""


class SignedLine(NamedTuple):
    """What a line says, and who vouches for it."""

    content: dict[str, Any]
    kid: str
    signature: bytes

    def vouched(self, prefix: bytes, check: Check) -> bool:
        """Whether the content was signed, with this prefix, by a key that ``check`` knows."""
        return check(self.kid, prefix + canonical(self.content).encode(), self.signature)


def write(content: Mapping[str, Any], prefix: bytes, sign: Sign) -> str:
    """Return the line of a content, without its end.

    Parameters
    ----------
    prefix : bytes
        Another one for each kind of line, so that no signature made for something else fits (R43).
    """
    kid, signature = sign(prefix + canonical(content).encode())
    return canonical({"content": content, "kid": kid, "signature": signature.hex()})


def parse(line: bytes | str) -> SignedLine | None:
    """Take a line apart without looking at its signature; None for anything else."""
    try:
        data = json.loads(line)
        content, kid, signature = data["content"], data["kid"], bytes.fromhex(data["signature"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(kid, str):
        return None
    return SignedLine(content, kid, signature)
