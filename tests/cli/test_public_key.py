"""Public keys from files: all supported formats, and only the public half."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from aizen_hub.cli.public_key import read_public_key
from aizen_hub.tokens.jwk import PublicJwk
from tests.tokens.dpop_prover import Prover

PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8)
PUBLIC = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def files(prover: Prover) -> dict[str, bytes]:
    return {
        "public PEM": prover.private_key.public_key().public_bytes(*PUBLIC),
        "private PEM": prover.private_key.private_bytes(*PKCS8, NoEncryption()),
        "public JWK": json.dumps(prover.jwk).encode(),
        "private JWK": json.dumps({**prover.private_jwk, "kid": "mine", "use": "sig"}, indent=2).encode(),
    }


@pytest.mark.proves("R58", "R98")
@pytest.mark.parametrize("curve", ["Ed25519", "P-256"])
def test_every_format_yields_only_the_public_key(curve: str, tmp_path: Path) -> None:
    prover, file = Prover(curve, ""), tmp_path / "key"
    for form, data in files(prover).items():
        file.write_bytes(data)
        jwk = read_public_key(file)
        assert jwk == prover.jwk, form
        assert PublicJwk.parse(jwk).thumbprint == prover.thumbprint


def test_a_coordinate_with_a_leading_zero(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for secret in range(1, 2_000):
        key = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
        if key.public_numbers().x >> 248 == 0:
            break
    file.write_bytes(key.public_bytes(*PUBLIC))
    PublicJwk.parse(read_public_key(file))


def test_invalid_keys_are_rejected(tmp_path: Path) -> None:
    file, prover = tmp_path / "key", Prover("Ed25519", "")
    other = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*PUBLIC)
    for data in (
        b"",
        b"{",
        b"nothing",
        b"\xff\xfe",
        json.dumps({"keys": [prover.jwk]}).encode(),
        b" " * 20_000,
        other,
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(*PUBLIC),
        prover.private_key.private_bytes(*PKCS8, BestAvailableEncryption(b"secret")),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ):
        file.write_bytes(data)
        with pytest.raises(click.UsageError):
            read_public_key(file)
    with pytest.raises(click.UsageError):
        read_public_key(tmp_path / "none")
    with pytest.raises(click.UsageError):
        read_public_key(tmp_path)
