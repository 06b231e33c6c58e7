"""Encryption of private keys at rest, with a key from a file outside the database."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from pathlib import Path
from typing import NamedTuple, Self

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


class KeyFileFault(NamedTuple):
    """Why the key-encryption file cannot be used.

    Attributes
    ----------
    code : str
        Stable: ``key-file-missing``, ``key-file-unusable`` or ``key-file-wrong``.
    sentence, remedy : str
        Without the path: health checks show them, and need no login.
    """

    code: str
    sentence: str
    remedy: str

    @property
    def is_recoverable(self) -> bool:
        """Whether the key may be lost; a file with wrong permissions is not."""
        return self.code != UNUSABLE


MISSING, UNUSABLE, WRONG = "key-file-missing", "key-file-unusable", "key-file-wrong"
_RESTORE = (
    "put the right file back from its backup, and decisions resume by themselves; if there is none, replace all keys"
    " with `aizen-hub keys recover`"
)
WRONG_KEY = KeyFileFault(
    WRONG, "the key-encryption file holds another key than the one that encrypted the signing keys", _RESTORE
)


class KeyFileError(Unavailable):
    """The key-encryption file cannot be used; the service is sealed (R3, R7)."""

    def __init__(self, fault: KeyFileFault) -> None:
        super().__init__(fault.sentence, remedy=fault.remedy, extensions={"sealed": True, "code": fault.code})
        self.fault = fault


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
        KeyFileError
            The file is missing, not a regular file of our account, readable by others, or does not contain 256 bits.
        """
        try:
            text = read_secret_file(path, _MAX_FILE_BYTES)
        except SecretFileError as error:
            if error.missing:
                sentence = "the key-encryption file does not exist"
                raise KeyFileError(KeyFileFault(MISSING, sentence, _RESTORE)) from None
            remedy = (
                error.remedy and "run `chmod 600` on the file that `key_encryption_file` names"
            ) or "let it be a plain file of the service's account, with mode 0600"
            raise KeyFileError(KeyFileFault(UNUSABLE, f"the key-encryption file {error.reason}", remedy)) from None
        if not _TEXT.fullmatch(text):
            sentence = "the key-encryption file does not hold 256 bits as 43 base64url characters"
            raise KeyFileError(KeyFileFault(WRONG, sentence, _RESTORE))
        try:
            return cls(base64.urlsafe_b64decode(text.rstrip() + b"="))
        except (ValueError, binascii.Error):
            sentence = "the key-encryption file does not hold 256 random bits"
            raise KeyFileError(KeyFileFault(WRONG, sentence, _RESTORE)) from None

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
