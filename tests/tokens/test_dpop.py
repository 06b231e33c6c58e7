"""DPoP proofs: format, key, request and lifetime (RFC 9449)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.tokens.dpop import MAX_AGE, ProofError, verify_proof
from aizen_hub.tokens.jwk import PublicJwk
from aizen_hub.tokens.keys import CLOCK_SKEW, jwk_thumbprint
from tests.tokens.conftest import NOW
from tests.tokens.dpop_prover import Prover, bad_proofs

METHOD, ADDRESS = "POST", "https://aizen.example.org/api/v1/decisions"
AT = int(NOW.timestamp())
CURVES = ("Ed25519", "P-256")
PROVERS = {curve: Prover(curve, "aizen-sa-" + "c" * 43) for curve in CURVES}
# RFC 9449, 7.1 and 6.1.
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rs"
    "cEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2"
    "In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90"
    "ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFF"
    "byJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"


def verify(text: str, prover: Prover, **changes: Any) -> Any:
    arguments = {"method": METHOD, "address": ADDRESS, "credential": prover.credential, "now": NOW, **changes}
    proof = verify_proof(text, **arguments)
    proof.require_key(prover.thumbprint)
    return proof


def error_of(text: str, prover: Prover) -> ProofError | None:
    try:
        verify(text, prover)
    except ProofError as error:
        return error
    return None


@pytest.mark.proves("R58")
def test_the_example_of_the_rfc_is_valid() -> None:
    proof = verify_proof(
        RFC_PROOF,
        method="GET",
        address="https://resource.example.org/protectedresource",
        credential=RFC_TOKEN,
        now=datetime.fromtimestamp(1562262618, UTC),
    )
    assert (proof.thumbprint, proof.id) == ("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "e1j3V_bKic8-LAEB")


def test_thumbprints_follow_the_rfcs() -> None:
    # RFC 8037, A.3.
    jwk = {"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kty": "OKP", "crv": "Ed25519"}
    assert PublicJwk.parse(jwk).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    prover = PROVERS["Ed25519"]
    assert jwk_thumbprint(prover.private_key.public_key().public_bytes_raw()) == prover.thumbprint


@pytest.mark.proves("R58")
@pytest.mark.parametrize("curve", CURVES)
def test_a_valid_proof_is_accepted(curve: str) -> None:
    prover = PROVERS[curve]
    proof = verify(prover.proof(METHOD, ADDRESS, AT, jti="one"), prover)
    assert (proof.thumbprint, proof.id, proof.issued_at) == (prover.thumbprint, "one", NOW)
    assert proof.expires_at == NOW + MAX_AGE + CLOCK_SKEW


@pytest.mark.proves("R58")
@pytest.mark.parametrize("curve", CURVES)
def test_invalid_proofs_are_refused_with_their_code(curve: str) -> None:
    prover, mismatches, count = PROVERS[curve], [], 0
    for label, code, text in bad_proofs(prover, METHOD, ADDRESS, AT):
        count += 1
        error = error_of(text, prover)
        if error is None or code not in ("", error.extensions["code"]):
            mismatches.append((label, code, "accepted" if error is None else error.extensions["code"]))
            continue
        assert prover.credential not in error.challenge
        assert error.challenge.count('"') == 8
        assert error.challenge.isascii()
    assert mismatches == []
    assert count > 180


@pytest.mark.proves("R58")
@pytest.mark.parametrize(
    ("seconds", "is_valid"), [(-61, False), (-60, True), (-30, True), (0, True), (30, True), (31, False)]
)
def test_a_proof_is_valid_for_a_minute(seconds: int, is_valid: bool) -> None:
    prover = PROVERS["Ed25519"]
    text = prover.proof(METHOD, ADDRESS, AT + seconds)
    if is_valid:
        verify(text, prover)
    else:
        with pytest.raises(ProofError) as caught:
            verify(text, prover)
        assert caught.value.extensions["code"] == "proof-wrong-time"


@pytest.mark.proves("R58")
def test_a_forgotten_proof_is_too_old_for_every_replica() -> None:
    """Even for a replica whose clock is behind by the tolerance."""
    prover = PROVERS["Ed25519"]
    text = prover.proof(METHOD, ADDRESS, AT)
    after_expiry = verify(text, prover).expires_at + timedelta(seconds=1)
    with pytest.raises(ProofError):
        verify(text, prover, now=after_expiry - CLOCK_SKEW)


@pytest.mark.parametrize(
    ("claimed", "own", "is_same"),
    [
        ("HTTPS://Aizen.Example.ORG/api/v1/me", "https://aizen.example.org/api/v1/me", True),
        ("https://aizen.example.org:443/api/v1/me", "https://aizen.example.org/api/v1/me", True),
        ("https://aizen.example.org/api/v1/me", "https://aizen.example.org:443/api/v1/me", True),
        ("http://aizen.example.org:80/a", "http://aizen.example.org/a", True),
        ("http://aizen.example.org:443/a", "http://aizen.example.org/a", False),
        ("https://aizen.example.org:0/a", "https://aizen.example.org/a", False),
        ("https://aizen.example.org/A", "https://aizen.example.org/a", False),
        ("https://aizen.example.org/%61", "https://aizen.example.org/a", False),
        ("HTTPS://[::1]:9095/a", "https://[::1]:9095/a", True),
        ("https://[::1]/a", "https://[::1]:9095/a", False),
        ("https://aizen.example.org/users/ann@corp", "https://aizen.example.org/users/ann@corp", True),
    ],
)
def test_addresses_are_compared_in_normalized_form(claimed: str, own: str, is_same: bool) -> None:
    prover = PROVERS["Ed25519"]
    text = prover.proof(METHOD, claimed, AT)
    if is_same:
        assert verify(text, prover, address=own)
    else:
        with pytest.raises(ProofError):
            verify(text, prover, address=own)


@pytest.mark.proves("R58")
@pytest.mark.parametrize("curve", CURVES)
def test_a_change_of_any_character_is_refused(curve: str) -> None:
    prover = PROVERS[curve]
    text = prover.proof(METHOD, ADDRESS, AT)

    @given(st.integers(0, len(text) - 1), st.characters(codec="ascii"))
    def change(position: int, char: str) -> None:
        if char == text[position]:
            return
        with pytest.raises(ProofError):
            verify(text[:position] + char + text[position + 1 :], prover)

    change()


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        verify(text, PROVERS["Ed25519"])
