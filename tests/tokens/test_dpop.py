"""Proofs of possession: one form, one key, one request, one minute (RFC 9449)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.tokens.dpop import GOOD_FOR, ProofRefused, read
from aizen_hub.tokens.jwk import PublicJwk
from aizen_hub.tokens.keys import SKEW, thumbprint
from tests.tokens.conftest import NOW
from tests.tokens.dpop_prover import Prover, bad_proofs

METHOD, ADDRESS = "POST", "https://aizen.example.org/api/v1/decisions"
AT = int(NOW.timestamp())
CURVES = ("Ed25519", "P-256")
PROVERS = {curve: Prover(curve, "aizen-sa-" + "c" * 43) for curve in CURVES}
# RFC 9449, 7.1 and 6.1.
OF_THE_RFC = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rs"
    "cEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2"
    "In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90"
    "ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFF"
    "byJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
TOKEN_OF_THE_RFC = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"


def accepted(text: str, prover: Prover, **changes: Any) -> Any:
    how = {"method": METHOD, "address": ADDRESS, "credential": prover.credential, "now": NOW, **changes}
    found = read(text, **how)
    found.need_key(prover.thumbprint)
    return found


def refusal_of(text: str, prover: Prover) -> ProofRefused | None:
    try:
        accepted(text, prover)
    except ProofRefused as refused:
        return refused
    return None


@pytest.mark.proves("R58")
def test_the_example_of_the_rfc_is_read() -> None:
    found = read(
        OF_THE_RFC,
        method="GET",
        address="https://resource.example.org/protectedresource",
        credential=TOKEN_OF_THE_RFC,
        now=datetime.fromtimestamp(1562262618, UTC),
    )
    assert (found.thumbprint, found.id) == ("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "e1j3V_bKic8-LAEB")


def test_a_thumbprint_is_the_one_of_the_rfcs_whatever_the_order_of_members() -> None:
    # RFC 8037, A.3.
    jwk = {"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kty": "OKP", "crv": "Ed25519"}
    assert PublicJwk.read(jwk).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    prover = PROVERS["Ed25519"]
    assert thumbprint(prover.private.public_key().public_bytes_raw()) == prover.thumbprint


@pytest.mark.proves("R58")
@pytest.mark.parametrize("curve", CURVES)
def test_a_good_one_is_read(curve: str) -> None:
    prover = PROVERS[curve]
    found = accepted(prover.proof(METHOD, ADDRESS, AT, jti="one"), prover)
    assert (found.thumbprint, found.id, found.issued_at) == (prover.thumbprint, "one", NOW)
    assert found.expires == NOW + GOOD_FOR + SKEW


@pytest.mark.proves("R58")
@pytest.mark.parametrize("curve", CURVES)
def test_every_other_one_is_refused_for_its_reason(curve: str) -> None:
    prover, wrong, seen = PROVERS[curve], [], 0
    for label, code, text in bad_proofs(prover, METHOD, ADDRESS, AT):
        seen += 1
        refused = refusal_of(text, prover)
        if refused is None or code not in ("", refused.more["code"]):
            wrong.append((label, code, "accepted" if refused is None else refused.more["code"]))
            continue
        assert prover.credential not in refused.challenge
        assert refused.challenge.count('"') == 8
        assert refused.challenge.isascii()
    assert wrong == []
    assert seen > 180


@pytest.mark.proves("R58")
@pytest.mark.parametrize(
    ("seconds", "good"), [(-61, False), (-60, True), (-30, True), (0, True), (30, True), (31, False)]
)
def test_it_is_good_for_a_minute(seconds: int, good: bool) -> None:
    prover = PROVERS["Ed25519"]
    text = prover.proof(METHOD, ADDRESS, AT + seconds)
    if good:
        accepted(text, prover)
    else:
        with pytest.raises(ProofRefused) as refused:
            accepted(text, prover)
        assert refused.value.more["code"] == "proof-wrong-time"


@pytest.mark.proves("R58")
def test_when_a_used_one_is_forgotten_no_clock_of_ours_takes_it() -> None:
    """A replica's clock may be off by the allowance, and still the proof is too old for it."""
    prover = PROVERS["Ed25519"]
    text = prover.proof(METHOD, ADDRESS, AT)
    forgotten = accepted(text, prover).expires + timedelta(seconds=1)
    with pytest.raises(ProofRefused):
        accepted(text, prover, now=forgotten - SKEW)


@pytest.mark.parametrize(
    ("said", "own", "same"),
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
def test_an_address_may_be_spelt_in_another_way_and_be_no_other(said: str, own: str, same: bool) -> None:
    prover = PROVERS["Ed25519"]
    text = prover.proof(METHOD, said, AT)
    if same:
        assert accepted(text, prover, address=own)
    else:
        with pytest.raises(ProofRefused):
            accepted(text, prover, address=own)


@pytest.mark.proves("R58")
@pytest.mark.parametrize("curve", CURVES)
def test_a_change_of_any_character_is_refused(curve: str) -> None:
    prover = PROVERS[curve]
    text = prover.proof(METHOD, ADDRESS, AT)

    @given(st.integers(0, len(text) - 1), st.characters(codec="ascii"))
    def change(place: int, char: str) -> None:
        if char == text[place]:
            return
        with pytest.raises(ProofRefused):
            accepted(text[:place] + char + text[place + 1 :], prover)

    change()


@given(st.text(max_size=300))
def test_anything_else_is_refused_in_order(text: str) -> None:
    with pytest.raises(ProofRefused):
        accepted(text, PROVERS["Ed25519"])
