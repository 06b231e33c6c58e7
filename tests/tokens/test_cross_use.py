"""Cross-use: no token is accepted for another purpose (R43, T-13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aizen_hub.tokens.decision_token import issue_decision_token, verify_decision_token
from aizen_hub.tokens.jws import TokenError, sign_jws, verify_jws
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.opaque_token import new_credential, new_id
from aizen_hub.tokens.role_token import RoleTokenVerifier, issue_role_token
from tests.tokens.conftest import ISSUER, NOW
from tests.tokens.forged_tokens import Forger, b64, compact

CORE = "http://core.example"
BODY = b'{"command":"start training churn"}'


def role(ring: KeyRing, audience: str = ISSUER, issuer: str = ISSUER) -> str:
    return issue_role_token(
        ring, issuer, audience, subject="alice", session_id=new_id(), project="churn", roles=(), revision=1, now=NOW
    )


def decision(ring: KeyRing, audience: str = CORE, issuer: str = ISSUER) -> str:
    return issue_decision_token(
        ring, issuer, audience, subject="alice", project="churn", decision_id=new_id(), body=BODY, now=NOW
    )


def checkpoint(ring: KeyRing) -> str:
    return sign_jws(ring, Purpose.CHECKPOINT, {"iss": ISSUER, "heads": {}})


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
VERIFIERS: dict[str, Callable[[KeyRing, str], object]] = {
    "role": lambda ring, token: RoleTokenVerifier(ring, ISSUER, ISSUER).verify(token, NOW),
    "decision": lambda ring, token: verify_decision_token(token, BODY, ring, ISSUER, CORE, NOW),
    "checkpoint": lambda ring, token: verify_jws(token, Purpose.CHECKPOINT, ring),
}


@pytest.mark.proves("R43", "T-13")
@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("kind", TOKENS)
def test_each_token_is_accepted_by_its_own_verifier_only(ring: KeyRing, kind: str, verifier: str) -> None:
    token = TOKENS[kind](ring)
    if kind == verifier:
        assert VERIFIERS[verifier](ring, token)
    else:
        with pytest.raises(TokenError):
            VERIFIERS[verifier](ring, token)


@pytest.mark.proves("R43", "T-13")
@pytest.mark.parametrize("checked", Purpose)
@pytest.mark.parametrize("signed_for", Purpose)
def test_a_key_of_one_purpose_never_signs_for_another(ring: KeyRing, signed_for: Purpose, checked: Purpose) -> None:
    key, private = ring.signer(signed_for)
    signed = f"{b64(compact({'alg': 'EdDSA', 'kid': key.kid, 'typ': checked.typ}))}.{b64(compact({'iss': ISSUER}))}"
    token = f"{signed}.{b64(private.sign(signed.encode()))}"
    if signed_for is checked:
        assert verify_jws(token, checked, ring)
    else:
        with pytest.raises(TokenError) as caught:
            verify_jws(token, checked, ring)
        assert caught.value.code == "unknown-key"
