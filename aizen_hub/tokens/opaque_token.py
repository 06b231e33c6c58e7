"""Opaque credentials and random ids: generation, hashing and comparison."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def hash_credential(token: str) -> str:
    """Return the SHA-256 of an opaque credential as 64 hexadecimal digits; only the hash is stored (R56).

    A plain hash is sufficient, since every credential hashed here has at least 128 random bits.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def constant_time_equals(left: str, right: str) -> bool:
    """Compare two secrets or hashes in constant time (R56)."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))


def new_id() -> str:
    """Return 128 random bits as 32 hexadecimal digits (R57)."""
    return secrets.token_hex(16)


def new_credential() -> str:
    """Return a new opaque credential: 256 random bits, base64url (R57)."""
    return secrets.token_urlsafe(32)
