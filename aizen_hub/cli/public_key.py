"""Public keys from files, PEM or JWK."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from pathlib import Path

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from aizen_hub.problems import Problem
from aizen_hub.validation import strict_json

_MAX_BYTES = 16 << 10
_PUBLIC = ("kty", "crv", "x", "y")


def read_public_key(file: Path) -> dict[str, object]:
    """Return the public key in a file as a JWK (RFC 7517); of a private key, its public half.

    Raises
    ------
    click.UsageError
        The file cannot be read or does not contain one such key.
    """
    try:
        with file.open("rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise click.UsageError(f"{file}: larger than one key can be")
    return _from_jwk(file, data) if data.lstrip().startswith(b"{") else _from_pem(file, data)


def _from_jwk(file: Path, data: bytes) -> dict[str, object]:
    try:
        members = strict_json.loads(data)
    except Problem:
        raise click.UsageError(f"{file}: not a JSON Web Key") from None
    if "keys" in members:
        raise click.UsageError(f"{file}: contains a set of keys; use a file with one key")
    # Other members, such as the private half, are not sent.
    return {name: members[name] for name in _PUBLIC if name in members}


def _from_pem(file: Path, data: bytes) -> dict[str, object]:
    try:
        private = b"PRIVATE KEY-----" in data
        key = load_pem_private_key(data, None).public_key() if private else load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted
        raise click.UsageError(f"{file}: not a readable key; use the public key as PEM or JWK") from None
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _encode(key.public_bytes_raw())}
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        numbers = key.public_numbers()
        x, y = (_encode(coordinate.to_bytes(32, "big")) for coordinate in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    raise click.UsageError(f"{file}: unsupported key type; use Ed25519 or P-256")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
