"""The keys that sign, their life, and the ring that holds them."""

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
"""No token of ours lives longer (R45)."""
SKEW = timedelta(seconds=30)
"""By how much the clocks of two replicas may differ (R45, R135)."""
JWKS_MAX_AGE = timedelta(minutes=5)
"""How long others may keep our key set (R55)."""


class KeyState(StrEnum):
    """The life of a key; it only ever moves down this list.

    A *published* key is known to others before it signs; the *signing* one signs; a *retired* one only verifies what it
    signed before; a *withdrawn* one verifies nothing and its private half is erased.
    """

    PUBLISHED = "published"
    SIGNING = "signing"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


class Purpose(StrEnum):
    """What a key signs; no key signs two kinds of things (T-13)."""

    ROLE = "role"
    DECISION = "decision"
    CHECKPOINT = "checkpoint"
    SYNC = "sync"

    @property
    def typ(self) -> str:
        """The one ``typ`` header that goes with this purpose (R43; RFC 8725, 3.11)."""
        return f"aizen-{self.value}+jwt"


def encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def thumbprint(public: bytes) -> str:
    """Return the JWK thumbprint of a raw Ed25519 public key, which is its ``kid`` (RFC 7638; RFC 8037, A.3)."""
    return encode(hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%s"}' % encode(public).encode()).digest())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One Ed25519 key pair.

    Attributes
    ----------
    kid : str
        The thumbprint of the public half: a row whose halves were swapped does not fit its own name.
    private : Ed25519PrivateKey or None
        None where this process cannot or need not sign with it.
    changed : datetime
        When it entered its present state.
    """

    kid: str
    purpose: Purpose
    state: KeyState
    created: datetime
    changed: datetime
    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None = field(default=None, repr=False, compare=False)

    @classmethod
    def new(cls, purpose: Purpose, now: datetime, state: KeyState = KeyState.SIGNING) -> Self:
        while True:
            private = Ed25519PrivateKey.generate()
            public = private.public_key()
            kid = thumbprint(public.public_bytes_raw())
            # One in 64 begins like an option, which nobody could type behind `keys withdraw`.
            if not kid.startswith("-"):
                return cls(kid, purpose, state, now, now, public, private)

    @property
    def public_bytes(self) -> bytes:
        """The 32 bytes of the public half."""
        return self.public.public_bytes_raw()

    def seal(self, encryption: KeyEncryption) -> bytes:
        """Return the private half encrypted, bound to this ``kid``."""
        if self.private is None:
            raise ValueError(f"the private half of key `{self.kid}` is not here")
        return encryption.seal(self.private.private_bytes_raw(), self.kid)

    @staticmethod
    def unseal(sealed: bytes, kid: str, encryption: KeyEncryption) -> Ed25519PrivateKey:
        """Return the private half; ValueError if it is not the one of this ``kid`` or cannot be decrypted."""
        private = Ed25519PrivateKey.from_private_bytes(encryption.open(sealed, kid))
        if thumbprint(private.public_key().public_bytes_raw()) != kid:
            raise ValueError("the private half belongs to another key")
        return private

    def signed_at(self, when: datetime) -> bool:
        """Tell whether something dated ``when`` can come from this key: nothing can after its retirement (R47)."""
        return self.state is not KeyState.RETIRED or when <= self.changed + SKEW

    def to_jwk(self) -> dict[str, str]:
        """Return the public members only (RFC 7517, 4; RFC 8037, 2)."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": encode(self.public_bytes),
            "kid": self.kid,
            "use": "sig",
            "alg": "EdDSA",
        }


@dataclass(frozen=True)
class KeyRing:
    """All keys as they were at one revision; never changes, a newer revision is a newer ring.

    Parameters
    ----------
    keys : iterable of SigningKey
    revision : int
        The store's revision that this is the state of.
    sealed : str or None
        Why nothing can be signed, where that is known (a missing file, a private half that cannot be decrypted).
    """

    keys: tuple[SigningKey, ...]
    revision: int = 0
    sealed: str | None = None

    def __init__(self, keys: Iterable[SigningKey] = (), revision: int = 0, sealed: str | None = None) -> None:
        object.__setattr__(self, "keys", tuple(keys))
        object.__setattr__(self, "revision", revision)
        object.__setattr__(self, "sealed", sealed)
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise ValueError("two keys of one ring have the same kid")
        signing = [key.purpose for key in self.keys if key.state is KeyState.SIGNING]
        if len(set(signing)) != len(signing):
            raise ValueError("two keys of one ring sign for the same purpose")

    @cached_property
    def _signers(self) -> dict[Purpose, tuple[SigningKey, Ed25519PrivateKey]]:
        return {
            key.purpose: (key, key.private)
            for key in self.keys
            if key.state is KeyState.SIGNING and key.private is not None
        }

    @cached_property
    def _verifiers(self) -> dict[tuple[Purpose, str], SigningKey]:
        return {(key.purpose, key.kid): key for key in self.keys if key.state is not KeyState.WITHDRAWN}

    def signer(self, purpose: Purpose) -> tuple[SigningKey, Ed25519PrivateKey]:
        """Return the key that signs for ``purpose``, with its private half; Unavailable if there is none (R7)."""
        try:
            return self._signers[purpose]
        except KeyError:
            raise Unavailable(
                self.sealed or f"there is no usable key that signs {purpose} tokens",
                remedy="an operator must bring the signing keys back: see `aizen-hub keys list`",
                more={"sealed": True},
            ) from None

    def verifier(self, purpose: Purpose, kid: str) -> SigningKey | None:
        """Return the key of exactly this ``kid`` that may verify ``purpose``, or None; a look-up in memory (R40)."""
        return self._verifiers.get((purpose, kid))

    @property
    def is_sealed(self) -> bool:
        """Whether a key is missing, so that nothing may be decided (R7)."""
        return any(purpose not in self._signers for purpose in Purpose)

    def jwks(self, now: datetime) -> dict[str, Any]:
        """Return the public key set (RFC 7517, 5): a retired key stays as long as a token of it can live (R55)."""
        oldest = now - MAX_LIFETIME - SKEW
        return {
            "keys": [
                key.to_jwk()
                for key in sorted(self._verifiers.values(), key=lambda key: (key.created, key.kid))
                if key.state is not KeyState.RETIRED or key.changed >= oldest
            ]
        }
