"""Public keys as PEM or JWK text, as programs present them."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from aizen_hub.problems import BadInput, Problem
from aizen_hub.validation import strict_json

_PUBLIC = ("kty", "crv", "x", "y")


def read_public_jwk(data: bytes) -> dict[str, object]:
    """Return the public key in PEM or JWK text as a JWK (RFC 7517); of a private key, its public half.

    Raises
    ------
    BadInput
        It does not contain one such key.
    """
    return _from_jwk(data) if data.lstrip().startswith(b"{") else _from_pem(data)


def holds_private_key(data: bytes) -> bool:
    """Return whether PEM or JWK text contains a private key."""
    return b"PRIVATE KEY-----" in data or (data.lstrip().startswith(b"{") and b'"d"' in data)


def _from_jwk(data: bytes) -> dict[str, object]:
    try:
        members = strict_json.loads(data)
    except Problem:
        raise BadInput("not a JSON Web Key") from None
    if "keys" in members:
        raise BadInput("contains a set of keys; use one key")
    # Other members, such as the private half, are not sent.
    return {name: members[name] for name in _PUBLIC if name in members}


def _from_pem(data: bytes) -> dict[str, object]:
    try:
        private = b"PRIVATE KEY-----" in data
        key = load_pem_private_key(data, None).public_key() if private else load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted
        raise BadInput("not a readable key; use the public key as PEM or JWK") from None
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _encode(key.public_bytes_raw())}
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        numbers = key.public_numbers()
        x, y = (_encode(coordinate.to_bytes(32, "big")) for coordinate in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    raise BadInput("unsupported key type; use Ed25519 or P-256")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
