"""No token is good for anything but what it was made for (R43, T-13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aizen_hub.tokens.decision_token import issue_decision, verify_decision
from aizen_hub.tokens.jws import TokenRefused, read, sign
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.opaque_token import new_credential, new_id
from aizen_hub.tokens.role_token import Verifier, issue
from tests.tokens.conftest import ISSUER, NOW
from tests.tokens.forged_tokens import Forger, b64, compact

CORE = "http://core.example"
BODY = b'{"command":"start training churn"}'


def role(ring: KeyRing, audience: str = ISSUER, issuer: str = ISSUER) -> str:
    return issue(
        ring, issuer, audience, subject="alice", session=new_id(), project="churn", roles=(), revision=1, now=NOW
    )


def decision(ring: KeyRing, audience: str = CORE, issuer: str = ISSUER) -> str:
    return issue_decision(
        ring, issuer, audience, subject="alice", project="churn", decision=new_id(), body=BODY, now=NOW
    )


def checkpoint(ring: KeyRing) -> str:
    return sign(ring, Purpose.CHECKPOINT, {"iss": ISSUER, "heads": {}})


def id_token(ring: KeyRing) -> str:
    forger = Forger.of(ring, ISSUER, ISSUER, NOW)
    return forger.token(header={**forger.header, "typ": "JWT"})


TOKENS: dict[str, Callable[[KeyRing], str]] = {
    "role": role,
    "decision": decision,
    "checkpoint": checkpoint,
    "role for the core": lambda ring: role(ring, audience=CORE),
    "decision for us": lambda ring: decision(ring, audience=ISSUER),
    "role of another service": lambda ring: role(ring, issuer="http://other.example"),
    "decision of another service": lambda ring: decision(ring, issuer="http://other.example"),
    "id token": id_token,
    "hub token": lambda ring: new_credential(),
    "session id": lambda ring: new_id(),
}
ROADS: dict[str, Callable[[KeyRing, str], object]] = {
    "role": lambda ring, token: Verifier(ring, ISSUER, ISSUER).verify(token, NOW),
    "decision": lambda ring, token: verify_decision(token, BODY, ring, ISSUER, CORE, NOW),
    "checkpoint": lambda ring, token: read(token, Purpose.CHECKPOINT, ring),
}


@pytest.mark.proves("R43", "T-13")
@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("kind", TOKENS)
def test_matrix(ring: KeyRing, kind: str, road: str) -> None:
    token = TOKENS[kind](ring)
    if kind == road:
        assert ROADS[road](ring, token)
    else:
        with pytest.raises(TokenRefused):
            ROADS[road](ring, token)


@pytest.mark.proves("R43", "T-13")
@pytest.mark.parametrize("used", Purpose)
@pytest.mark.parametrize("made", Purpose)
def test_a_key_of_one_purpose_never_signs_for_another(ring: KeyRing, made: Purpose, used: Purpose) -> None:
    key, private = ring.signer(made)
    signed = f"{b64(compact({'alg': 'EdDSA', 'kid': key.kid, 'typ': used.typ}))}.{b64(compact({'iss': ISSUER}))}"
    token = f"{signed}.{b64(private.sign(signed.encode()))}"
    if made is used:
        assert read(token, used, ring)
    else:
        with pytest.raises(TokenRefused) as caught:
            read(token, used, ring)
        assert caught.value.code == "unknown-key"
