"""Signing keys, their life cycle, and the key ring."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aizen_hub.problems import Unavailable
from aizen_hub.tokens.key_encryption import KeyEncryption

MAX_LIFETIME = timedelta(minutes=10)
"""Maximum lifetime of our tokens (R45)."""
CLOCK_SKEW = timedelta(seconds=30)
"""Tolerated clock difference between two replicas (R45, R135)."""
JWKS_MAX_AGE = timedelta(minutes=5)
"""How long others may cache our key set (R55)."""


FIND_KEYS = "an operator must restore the signing keys: see `aizen-hub keys list`"


class KeyState(StrEnum):
    """State of a key; it only ever moves down this list.

    A *published* key is in the key set before it signs; the *signing* key signs; a *retired* key only verifies what it
    signed before; a *withdrawn* key verifies nothing and its private key is erased.
    """

    PUBLISHED = "published"
    SIGNING = "signing"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


class Purpose(StrEnum):
    """What a key signs; each key has exactly one purpose (T-13)."""

    __hash__ = str.__hash__  # that of `Enum` is not compiled, and every token looks up its key

    ROLE = "role"
    DECISION = "decision"
    CHECKPOINT = "checkpoint"
    SYNC = "sync"

    @property
    def typ(self) -> str:
        """The ``typ`` header of this purpose (R43; RFC 8725, 3.11)."""
        return f"aizen-{self.value}+jwt"


def base64url_encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def jwk_thumbprint(public: bytes) -> str:
    """Return the JWK thumbprint of a raw Ed25519 public key, which is its ``kid`` (RFC 7638; RFC 8037, A.3)."""
    return base64url_encode(
        hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%s"}' % base64url_encode(public).encode()).digest()
    )


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One Ed25519 key pair.

    Attributes
    ----------
    kid : str
        The thumbprint of the public key, which detects a row whose keys were exchanged.
    private : Ed25519PrivateKey or None
        None where this process cannot or need not sign with it.
    state_changed_at : datetime
        When it entered its current state.
    """

    kid: str
    purpose: Purpose
    state: KeyState
    created_at: datetime
    state_changed_at: datetime
    public_key: Ed25519PublicKey
    private_key: Ed25519PrivateKey | None = field(default=None, repr=False, compare=False)

    @classmethod
    def generate(cls, purpose: Purpose, now: datetime, state: KeyState = KeyState.SIGNING) -> Self:
        while True:
            private = Ed25519PrivateKey.generate()
            public = private.public_key()
            kid = jwk_thumbprint(public.public_bytes_raw())
            # One in 64 would start with a hyphen and look like an option of `keys withdraw`.
            if not kid.startswith("-"):
                return cls(kid, purpose, state, now, now, public, private)

    @property
    def public_bytes(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.public_key.public_bytes_raw()

    def encrypt_private_key(self, encryption: KeyEncryption) -> bytes:
        """Return the encrypted private key, bound to this ``kid``."""
        if self.private_key is None:
            raise ValueError(f"the private key of `{self.kid}` is not available")
        return encryption.encrypt(self.private_key.private_bytes_raw(), self.kid)

    @staticmethod
    def decrypt_private_key(ciphertext: bytes, kid: str, encryption: KeyEncryption) -> Ed25519PrivateKey:
        """Return the private key; ValueError if it does not belong to ``kid`` or cannot be decrypted."""
        private = Ed25519PrivateKey.from_private_bytes(encryption.decrypt(ciphertext, kid))
        if jwk_thumbprint(private.public_key().public_bytes_raw()) != kid:
            raise ValueError("the private key belongs to another key")
        return private

    def could_have_signed_at(self, when: datetime) -> bool:
        """Return whether the key could have signed at this time: a retired key does not sign (R47)."""
        return self.state is not KeyState.RETIRED or when <= self.state_changed_at + CLOCK_SKEW

    def to_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK (RFC 7517, 4; RFC 8037, 2)."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64url_encode(self.public_bytes),
            "kid": self.kid,
            "use": "sig",
            "alg": "EdDSA",
        }


@dataclass(frozen=True)
class KeyRing:
    """All keys at one revision; immutable, a newer revision is a new ring.

    Parameters
    ----------
    keys : iterable of SigningKey
    revision : int
        The store's revision of this state.
    sealed_reason : str or None
        Why nothing can be signed, if known: a missing file, a private key that cannot be decrypted.
    remedy : str
        What an operator does about it.
    """

    keys: tuple[SigningKey, ...]
    revision: int = 0
    sealed_reason: str | None = None
    remedy: str = FIND_KEYS

    def __init__(
        self,
        keys: Iterable[SigningKey] = (),
        revision: int = 0,
        sealed_reason: str | None = None,
        remedy: str = FIND_KEYS,
    ) -> None:
        object.__setattr__(self, "keys", tuple(keys))
        object.__setattr__(self, "revision", revision)
        object.__setattr__(self, "sealed_reason", sealed_reason)
        object.__setattr__(self, "remedy", remedy)
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise ValueError("two keys of one ring have the same kid")
        signing = [key.purpose for key in self.keys if key.state is KeyState.SIGNING]
        if len(set(signing)) != len(signing):
            raise ValueError("two keys of one ring sign for the same purpose")

    @cached_property
    def _signers(self) -> dict[Purpose, tuple[SigningKey, Ed25519PrivateKey]]:
        return {
            key.purpose: (key, key.private_key)
            for key in self.keys
            if key.state is KeyState.SIGNING and key.private_key is not None
        }

    @cached_property
    def _verifiers(self) -> dict[tuple[Purpose, str], SigningKey]:
        return {(key.purpose, key.kid): key for key in self.keys if key.state is not KeyState.WITHDRAWN}

    def signer(self, purpose: Purpose) -> tuple[SigningKey, Ed25519PrivateKey]:
        """Return the signing key of ``purpose`` with its private key; Unavailable if there is none (R7)."""
        try:
            return self._signers[purpose]
        except KeyError:
            raise Unavailable(
                self.sealed_reason or f"there is no usable signing key for {purpose} tokens",
                remedy=self.remedy,
                extensions={"sealed": True},
            ) from None

    def verifier(self, purpose: Purpose, kid: str) -> SigningKey | None:
        """Return the verification key with exactly this ``kid`` for ``purpose``, or None; a lookup in memory (R40)."""
        return self._verifiers.get((purpose, kid))

    @property
    def is_sealed(self) -> bool:
        """Whether a signing key is missing, so that nothing may be decided (R7)."""
        return any(purpose not in self._signers for purpose in Purpose)

    def jwks(self, now: datetime) -> dict[str, Any]:
        """Return the public key set (RFC 7517, 5): a retired key stays as long as its tokens can be valid (R55)."""
        oldest = now - MAX_LIFETIME - CLOCK_SKEW
        return {
            "keys": [
                key.to_jwk()
                for key in sorted(self._verifiers.values(), key=lambda key: (key.created_at, key.kid))
                if key.state is not KeyState.RETIRED or key.state_changed_at >= oldest
            ]
        }
