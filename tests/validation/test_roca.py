"""Detection of RSA keys whose private half can be computed from the public one (CVE-2017-15361)."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from aizen_hub.validation.roca import is_roca_modulus
from tests.fixtures.security.roca import vulnerable_modulus


@pytest.mark.parametrize("bits", [512, 1024, 2048, 3072, 4096])
def test_every_key_of_that_form_is_found(bits: int) -> None:
    rng = random.Random(bits)
    for _ in range(20):
        assert is_roca_modulus(vulnerable_modulus(bits, rng))


def test_other_keys_are_not_suspected() -> None:
    for _ in range(5):
        assert not is_roca_modulus(rsa.generate_private_key(65537, 2048).public_key().public_numbers().n)
    rng = random.Random(7)
    assert not any(is_roca_modulus(rng.getrandbits(2048) | 1) for _ in range(20_000))
