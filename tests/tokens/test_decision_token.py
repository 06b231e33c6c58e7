"""Decision tokens: one command, one core, five seconds (R82)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.tokens.decision_token import issue_decision_token, verify_decision_token
from aizen_hub.tokens.jws import TokenError, sign_jws
from aizen_hub.tokens.keys import KeyRing, Purpose
from aizen_hub.tokens.opaque_token import new_id
from tests.tokens.conftest import ISSUER, NOW
from tests.tokens.forged_tokens import WRONG_TYPES

CORE = "http://core.example"
BODY = b'{"command":"start training churn"}'


def issue(ring: KeyRing, **changes: Any) -> str:
    wanted = {"subject": "alice", "project": "churn", "decision_id": new_id(), "body": BODY, "now": NOW, **changes}
    return issue_decision_token(ring, ISSUER, CORE, **wanted)


@pytest.mark.proves("R82")
def test_it_is_bound_to_the_body(ring: KeyRing) -> None:
    token = issue(ring)
    assert verify_decision_token(token, BODY, ring, ISSUER, CORE, NOW).subject == "alice"
    for other in (b"", BODY + b" ", BODY.replace(b"start", b"stop"), BODY.upper()):
        with pytest.raises(TokenError):
            verify_decision_token(token, other, ring, ISSUER, CORE, NOW)


@pytest.mark.proves("R82")
@pytest.mark.parametrize(
    ("seconds", "skew", "good"),
    [
        (0, 0, True),
        (4.9, 0, True),
        (5, 0, False),
        (60, 0, False),
        (-0.1, 0, False),
        (6, 2, True),
        (8, 2, False),
        (-1, 2, True),
    ],
)
def test_it_is_valid_for_five_seconds(ring: KeyRing, seconds: float, skew: float, good: bool) -> None:
    token = issue(ring)

    def verify() -> object:
        now, allowance = NOW + timedelta(seconds=seconds), timedelta(seconds=skew)
        return verify_decision_token(token, BODY, ring, ISSUER, CORE, now, skew=allowance)

    if good:
        assert verify()
    else:
        with pytest.raises(TokenError):
            verify()


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "project", "jti", "sha256", "iat", "exp"])
def test_every_claim_is_required_and_typed(ring: KeyRing, name: str) -> None:
    at = int(NOW.timestamp())
    claims = {
        "iss": ISSUER, "aud": CORE, "sub": "alice", "project": "churn", "jti": new_id(),
        "sha256": "0" * 64, "iat": at, "exp": at + 5,
    }  # fmt: skip
    bad: list[dict[str, Any]] = [{key: value for key, value in claims.items() if key != name}, {**claims, "more": 1}]
    bad += [{**claims, name: value} for value in WRONG_TYPES]
    for wrong_claims in bad:
        with pytest.raises(TokenError):
            verify_decision_token(sign_jws(ring, Purpose.DECISION, wrong_claims), BODY, ring, ISSUER, CORE, NOW)


def test_a_longer_lifetime_is_refused(ring: KeyRing) -> None:
    import hashlib

    at = int(NOW.timestamp())
    claims = {
        "iss": ISSUER, "aud": CORE, "sub": "alice", "project": None, "jti": new_id(),
        "sha256": hashlib.sha256(BODY).hexdigest(), "iat": at, "exp": at + 5,
    }  # fmt: skip
    assert verify_decision_token(sign_jws(ring, Purpose.DECISION, claims), BODY, ring, ISSUER, CORE, NOW)
    with pytest.raises(TokenError):
        verify_decision_token(
            sign_jws(ring, Purpose.DECISION, {**claims, "exp": at + 6}), BODY, ring, ISSUER, CORE, NOW
        )


@pytest.mark.parametrize(
    "change", [{"subject": ""}, {"decision_id": "x"}, {"decision_id": "../../0000000000000000"}, {"project": ""}]
)
def test_invalid_claims_are_not_issued(ring: KeyRing, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="such a decision token cannot be issued"):
        issue(ring, **change)
