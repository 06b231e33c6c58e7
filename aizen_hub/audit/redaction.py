"""Redaction of secret arguments in the audit: equal secrets have equal hashes, and none is readable (R98)."""

from __future__ import annotations

import hashlib
import hmac

from aizen_hub.commands.command import Command

PURPOSE = "audit-arguments"
"""Name under which the key is derived from the key-encryption key."""
_MIN_KEY = 32


class SecretHasher:
    """Replaces secret values with a keyed hash, so that a short one cannot be found by brute force.

    Parameters
    ----------
    key : bytes
        At least 256 random bits (R2).
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY:
            raise ValueError("the key for audit hashes needs at least 32 bytes")
        self._key = key

    def __repr__(self) -> str:
        return "SecretHasher(…)"

    def hash_secret(self, value: str) -> str:
        """Return the hash that replaces ``value``: HMAC-SHA-256, truncated to 128 bits."""
        return "hmac-" + hmac.digest(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]

    def redact(self, command: Command) -> str:
        """Return the canonical text of a command without its secrets."""
        return command.redacted(self.hash_secret)
