"""Secret arguments in the audit: recognisable when seen again, never readable (R98)."""

from __future__ import annotations

import hashlib
import hmac

from aizen_hub.commands.command import Command

PURPOSE = "audit-arguments"
"""The name under which the key is derived from the key-encryption key."""
_MIN_KEY = 32


class SecretHasher:
    """Replaces secret values by a keyed hash, so that a short one cannot be found by trying.

    Parameters
    ----------
    key : bytes
        At least 256 random bits (R2).
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY:
            raise ValueError("the key of the audit's hashes needs at least 32 bytes")
        self._key = key

    def __repr__(self) -> str:
        return "SecretHasher(…)"

    def seal(self, value: str) -> str:
        """Return what stands for ``value``: HMAC-SHA-256, cut to 128 bits."""
        return "hmac-" + hmac.digest(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]

    def text(self, command: Command) -> str:
        """Return the canonical text of a command without its secrets."""
        return command.redacted(self.seal)
