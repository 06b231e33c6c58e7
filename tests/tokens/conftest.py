from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from aizen_hub.tokens.role_token import RoleTokenVerifier
from tests.tokens.forged_tokens import Forger

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ISSUER = "http://service.example:9095"


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return KeyRing([SigningKey.generate(purpose, NOW) for purpose in Purpose], revision=7)


@pytest.fixture
def verifier(ring: KeyRing) -> RoleTokenVerifier:
    return RoleTokenVerifier(ring, ISSUER, ISSUER)


@pytest.fixture
def forger(ring: KeyRing) -> Forger:
    return Forger.of(ring, ISSUER, ISSUER, NOW)
