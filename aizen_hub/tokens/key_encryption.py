"""Encryption of private keys at rest, with a key from a file outside the database."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aizen_hub.problems import Unavailable
from aizen_hub.secret_files import SecretFileError, create_secret_file, read_secret_file

_SIZE = 32
_NONCE = 12
_MAX_FILE_BYTES = 128
_TEXT = re.compile(rb"[A-Za-z0-9_-]{43}\n?")


class KeyEncryption:
    """AES-256-GCM under the key of the key-encryption file.

    The file contains 256 random bits as base64url without padding. It belongs to the account that runs the service and
    must not be readable by others (R3), so that a copy of the database alone cannot sign anything.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _SIZE or len(set(key)) < 8:
            raise ValueError("a key-encryption key has 256 random bits")
        self._key = key

    def __repr__(self) -> str:
        return "KeyEncryption()"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Raises
        ------
        Unavailable
            The file is missing, not a regular file of our account, readable by others, or does not contain 256 bits:
            the service is sealed (R3, R7).
        """
        try:
            text = read_secret_file(path, _MAX_FILE_BYTES)
        except SecretFileError as error:
            if error.missing:
                raise Unavailable(
                    f"the key-encryption file `{path}` does not exist",
                    remedy="restore it from its backup; for a new installation create one with `aizen-hub keys init`",
                ) from None
            raise Unavailable(f"the key-encryption file `{path}` {error.reason}", remedy=error.remedy) from None
        if not _TEXT.fullmatch(text):
            raise Unavailable(f"the key-encryption file `{path}` does not hold 256 bits as 43 base64url characters")
        try:
            return cls(base64.urlsafe_b64decode(text.rstrip() + b"="))
        except (ValueError, binascii.Error):
            raise Unavailable(f"the key-encryption file `{path}` does not hold 256 random bits") from None

    @classmethod
    def create(cls, path: Path) -> Self:
        """Write a new file with mode 0600, or read the one that another process created first."""
        create_secret_file(path, base64.urlsafe_b64encode(secrets.token_bytes(_SIZE)).rstrip(b"=") + b"\n")
        return cls.load(path)

    def encrypt(self, plain: bytes, name: str) -> bytes:
        """Encrypt ``plain``; ``name`` is authenticated, so that rows cannot be exchanged."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self._key).encrypt(nonce, plain, name.encode())

    def decrypt(self, ciphertext: bytes, name: str) -> bytes:
        """Decrypt a result of `encrypt`; ValueError if it has another key or name, or was changed."""
        try:
            return AESGCM(self._key).decrypt(ciphertext[:_NONCE], ciphertext[_NONCE:], name.encode())
        except (InvalidTag, ValueError):
            raise ValueError("encrypted under another key, or damaged") from None

    def derive(self, purpose: str) -> bytes:
        """Derive a 256-bit key for another purpose, such as the keyed hash of secret arguments (HKDF, RFC 5869)."""
        return HKDF(SHA256(), _SIZE, salt=None, info=b"aizen-hub " + purpose.encode()).derive(self._key)
