"""ID tokens, logout tokens and key sets, each check alone, without a network."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from aizen_hub.hub.login.oidc.claims import find, rests_on_mail, verified_mail
from aizen_hub.hub.login.oidc.http import IdpFailed
from aizen_hub.hub.login.oidc.id_token import LOGOUT_EVENT, IdTokens, TokenFault
from aizen_hub.hub.login.oidc.jwks import IdpKeys, read_keys

ISSUER, CLIENT, NOW = "https://idp.example.org", "hub", 1_800_000_000.0
KEY = ed25519.Ed25519PrivateKey.generate()
EVENTS = {LOGOUT_EVENT: {}}


def public(key: Any = KEY, **more: Any) -> dict[str, Any]:
    kinds = ((rsa.RSAPrivateKey, RSAAlgorithm), (ed25519.Ed25519PrivateKey, OKPAlgorithm))
    kind = next((algorithm for base, algorithm in kinds if isinstance(key, base)), ECAlgorithm)
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": "k", "use": "sig", **more}


class Source:
    """A key set that can change or fail, and counts how often it is read."""

    def __init__(self) -> None:
        self.document: Any = {"keys": [public()]}
        self.reads = 0

    async def __call__(self) -> Any:
        self.reads += 1
        if self.document is None:
            raise IdpFailed("down")
        return self.document


def tokens(clock: Any = lambda: NOW, **more: Any) -> IdTokens:
    return IdTokens(ISSUER, CLIENT, IdpKeys(Source()), clock=clock, **more)


def logout(**change: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": CLIENT,
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "1",
        "events": EVENTS,
        "sub": "alice",
        "sid": "s",
        **change,
    }
    claims = {key: value for key, value in claims.items() if value is not ...}
    return jwt.encode(claims, KEY, "EdDSA", headers={"kid": "k", "typ": claims.pop("typ", "logout+jwt")})


async def test_a_logout_token_is_good_once() -> None:
    checker = tokens()
    assert (await checker.verify_logout(logout()))["sub"] == "alice"
    with pytest.raises(TokenFault, match="used before"):
        await checker.verify_logout(logout())
    assert await checker.verify_logout(logout(jti="2", sub=...))
    assert await checker.verify_logout(logout(jti="3", sid=...))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nonce": "x"}, "nonce"),
        ({"events": ...}, "events"),
        ({"events": {"other": {}}}, "events"),
        ({"events": [LOGOUT_EVENT]}, "events"),
        ({"events": {LOGOUT_EVENT: True}}, "events"),
        ({"sub": ..., "sid": ...}, "neither"),
        ({"sub": 7}, "sub"),
        ({"jti": ...}, "jti"),
        ({"jti": ""}, "jti"),
        ({"iat": NOW - 400}, "too old"),
        ({"iat": NOW + 60}, "future"),
        ({"iat": ...}, "iat"),
        ({"exp": NOW - 31}, "expired"),
        ({"exp": ...}, "exp"),
        ({"iss": "https://evil.example.org"}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"typ": "at+jwt"}, "typ"),
    ],
    ids=str,
)
@pytest.mark.proves("T-13")
async def test_a_false_logout_token_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(TokenFault, match=says):
        await tokens().verify_logout(logout(**change))


@pytest.mark.proves("T-13")
async def test_an_id_token_is_no_logout_token_and_the_other_way_round() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 60, "sub": "alice", "nonce": "n"}
    identity = jwt.encode(claims, KEY, "EdDSA", headers={"kid": "k"})
    assert (await tokens().verify(identity, nonce="n"))["sub"] == "alice"
    with pytest.raises(TokenFault):
        await tokens().verify_logout(identity)
    with pytest.raises(TokenFault):
        await tokens().verify(logout(nonce="n"), nonce="n")


@pytest.mark.parametrize(
    "token", [None, 7, "", "a.b", "a.b.c.d", "a.b.", "a b.c.d", "x" * 70_000, "e30.e30.AA", "W10.e30.AA", "e30=.e30.AA"]
)
async def test_what_is_no_token_is_refused_before_any_key_is_read(token: Any) -> None:
    source = Source()
    with pytest.raises(TokenFault):
        await IdTokens(ISSUER, CLIENT, IdpKeys(source), clock=lambda: NOW).verify(token, nonce="n")
    assert source.reads == 0


async def test_every_flipped_byte_is_refused() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 60, "sub": "alice", "nonce": "n"}
    good = jwt.encode(claims, KEY, "EdDSA", headers={"kid": "k"})
    checker = tokens()
    for place in range(len(good) - 1):  # the last one holds bits that mean nothing
        wrong = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        with pytest.raises(TokenFault):
            await checker.verify(wrong, nonce="n")


async def test_none_and_hmac_are_not_allowed_even_if_listed() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 60, "sub": "alice", "nonce": "n"}
    checker = tokens(algorithms=["HS256", "none", "EdDSA"])
    for algorithm in ("HS256", "HS512"):
        with pytest.raises(TokenFault, match="alg"):
            await checker.verify(jwt.encode(claims, "k" * 64, algorithm, headers={"kid": "k"}), nonce="n")


class TestKeys:
    async def test_an_unknown_id_is_asked_for_once_a_minute(self) -> None:
        now, source = [0.0], Source()
        keys = IdpKeys(source, clock=lambda: now[0])
        assert await keys.find("k", "EdDSA")
        assert source.reads == 1
        for _ in range(5):
            assert await keys.find("x", "EdDSA") is None
        assert source.reads == 2
        now[0] += 61
        source.document = {"keys": [public(), public(kid="x")]}
        assert await keys.find("x", "EdDSA")
        assert source.reads == 3

    async def test_the_last_good_set_stays_and_a_withdrawn_key_goes(self) -> None:
        now, source = [0.0], Source()
        keys = IdpKeys(source, clock=lambda: now[0])
        assert await keys.find("k", "EdDSA")
        source.document, now[0] = None, 4000.0
        assert await keys.find("k", "EdDSA")
        source.document, now[0] = {"keys": [public(kid="new")]}, 4100.0
        assert await keys.find("k", "EdDSA") is None

    async def test_nothing_good_was_ever_read(self) -> None:
        source = Source()
        source.document = None
        with pytest.raises(IdpFailed):
            await IdpKeys(source).find("k", "EdDSA")

    async def test_without_an_id_only_where_one_key_fits(self) -> None:
        source = Source()
        assert await IdpKeys(source).find(None, "EdDSA")
        source.document = {"keys": [public(), public(kid="two")]}
        assert await IdpKeys(source).find(None, "EdDSA") is None

    async def test_a_key_signs_with_its_own_algorithm_only(self) -> None:
        source = Source()
        source.document = {"keys": [public(ec.generate_private_key(ec.SECP256R1()))]}
        keys = IdpKeys(source)
        assert await keys.find("k", "ES256")
        for algorithm in ("ES384", "RS256", "EdDSA", "HS256"):
            assert await keys.find("k", algorithm) is None

    @pytest.mark.parametrize(
        "jwk",
        [
            public(use="enc"),
            public(key_ops=["sign"]),
            public(kid=7),
            public(alg="RS256"),
            public(x="AAAA"),
            {"kty": "oct", "k": "AAAA", "kid": "k"},
            public(rsa.generate_private_key(65537, 1024)),
        ],
    )
    def test_useless_keys_are_passed_over(self, jwk: dict[str, Any]) -> None:
        with pytest.raises(IdpFailed):
            read_keys({"keys": [jwk]})
        assert len(read_keys({"keys": [jwk, public()]})) == 1


@pytest.mark.parametrize(
    ("claims", "name", "value"),
    [
        ({"a": 1}, "a", 1),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"a": {"b": 2}}, "a.b", 2),
        ({"a": {"b.c": 3, "b": {"c": 4}}}, "a.b.c", 3),
        ({"a.b": {"c": 5}, "a": {"b": {"c": 6}}}, "a.b.c", 5),
        ({"https://x.example/g": [1]}, "https://x.example/g", [1]),
        ({"a": None}, "a", None),
    ],
)
def test_a_literal_name_wins(claims: dict[str, Any], name: str, value: Any) -> None:
    assert find(claims, name) == (True, value)


@pytest.mark.parametrize(
    ("claims", "name"), [({}, "a"), ({"a": [1]}, "a.0"), ({"a": "x"}, "a.x"), ({"a": {}}, "a.b"), ({}, "." * 1000)]
)
def test_what_is_not_there(claims: dict[str, Any], name: str) -> None:
    assert find(claims, name)[0] is False


@pytest.mark.proves("R22")
@pytest.mark.parametrize("said", [False, None, 1, "true", "false", ..., []], ids=repr)
def test_only_true_verifies_a_mail_address(said: Any) -> None:
    claims = {"email": "a@example.org", **({} if said is ... else {"email_verified": said})}
    assert verified_mail(claims) is None
    assert verified_mail({"email": "a@example.org", "email_verified": True}) == "a@example.org"
    assert rests_on_mail(claims, "A@example.org", "preferred_username")
    assert not rests_on_mail(claims, "a", "preferred_username")
