"""ID tokens, logout tokens and key sets: each check separately, without a network."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from aizen_hub.hub.login.oidc.claims import find_claim, is_email_based, verified_email
from aizen_hub.hub.login.oidc.http import IdpError
from aizen_hub.hub.login.oidc.id_token import LOGOUT_EVENT, IdTokenError, IdTokenVerifier
from aizen_hub.hub.login.oidc.jwks import IdpKeySet, parse_keys

ISSUER, CLIENT, NOW = "https://idp.example.org", "hub", 1_800_000_000.0
KEY = ed25519.Ed25519PrivateKey.generate()
EVENTS = {LOGOUT_EVENT: {}}


def public(key: Any = KEY, **more: Any) -> dict[str, Any]:
    kinds = ((rsa.RSAPrivateKey, RSAAlgorithm), (ed25519.Ed25519PrivateKey, OKPAlgorithm))
    kind = next((algorithm for base, algorithm in kinds if isinstance(key, base)), ECAlgorithm)
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": "k", "use": "sig", **more}


class Source:
    """A key set that can change or fail, and counts its reads."""

    def __init__(self) -> None:
        self.document: Any = {"keys": [public()]}
        self.reads = 0

    async def __call__(self) -> Any:
        self.reads += 1
        if self.document is None:
            raise IdpError("down")
        return self.document


def verifier(clock: Any = lambda: NOW, **more: Any) -> IdTokenVerifier:
    return IdTokenVerifier(ISSUER, CLIENT, IdpKeySet(Source()), clock=clock, **more)


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


async def test_a_logout_token_is_accepted_once() -> None:
    checker = verifier()
    assert (await checker.verify_logout(logout()))["sub"] == "alice"
    with pytest.raises(IdTokenError, match="used before"):
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
async def test_an_invalid_logout_token_is_rejected(change: dict[str, Any], says: str) -> None:
    with pytest.raises(IdTokenError, match=says):
        await verifier().verify_logout(logout(**change))


@pytest.mark.proves("T-13")
async def test_id_tokens_and_logout_tokens_are_not_interchangeable() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 60, "sub": "alice", "nonce": "n"}
    identity = jwt.encode(claims, KEY, "EdDSA", headers={"kid": "k"})
    assert (await verifier().verify(identity, nonce="n"))["sub"] == "alice"
    with pytest.raises(IdTokenError):
        await verifier().verify_logout(identity)
    with pytest.raises(IdTokenError):
        await verifier().verify(logout(nonce="n"), nonce="n")


@pytest.mark.parametrize(
    "token", [None, 7, "", "a.b", "a.b.c.d", "a.b.", "a b.c.d", "x" * 70_000, "e30.e30.AA", "W10.e30.AA", "e30=.e30.AA"]
)
async def test_malformed_tokens_are_rejected_before_any_key_is_read(token: Any) -> None:
    source = Source()
    with pytest.raises(IdTokenError):
        await IdTokenVerifier(ISSUER, CLIENT, IdpKeySet(source), clock=lambda: NOW).verify(token, nonce="n")
    assert source.reads == 0


async def test_every_changed_byte_is_rejected() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 60, "sub": "alice", "nonce": "n"}
    good = jwt.encode(claims, KEY, "EdDSA", headers={"kid": "k"})
    checker = verifier()
    for index in range(len(good) - 1):  # the last one contains unused bits
        wrong = good[:index] + ("A" if good[index] != "A" else "B") + good[index + 1 :]
        with pytest.raises(IdTokenError):
            await checker.verify(wrong, nonce="n")


async def test_none_and_hmac_are_not_allowed_even_if_listed() -> None:
    claims = {"iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 60, "sub": "alice", "nonce": "n"}
    checker = verifier(algorithms=["HS256", "none", "EdDSA"])
    for algorithm in ("HS256", "HS512"):
        with pytest.raises(IdTokenError, match="alg"):
            await checker.verify(jwt.encode(claims, "k" * 64, algorithm, headers={"kid": "k"}), nonce="n")


class TestKeys:
    async def test_unknown_key_ids_cause_one_read_a_minute(self) -> None:
        now, source = [0.0], Source()
        keys = IdpKeySet(source, clock=lambda: now[0])
        assert await keys.find_key("k", "EdDSA")
        assert source.reads == 1
        for _ in range(5):
            assert await keys.find_key("x", "EdDSA") is None
        assert source.reads == 2
        now[0] += 61
        source.document = {"keys": [public(), public(kid="x")]}
        assert await keys.find_key("x", "EdDSA")
        assert source.reads == 3

    async def test_the_last_valid_set_is_kept_and_a_withdrawn_key_is_dropped(self) -> None:
        now, source = [0.0], Source()
        keys = IdpKeySet(source, clock=lambda: now[0])
        assert await keys.find_key("k", "EdDSA")
        source.document, now[0] = None, 4000.0
        assert await keys.find_key("k", "EdDSA")
        source.document, now[0] = {"keys": [public(kid="new")]}, 4100.0
        assert await keys.find_key("k", "EdDSA") is None

    async def test_no_valid_set_was_read(self) -> None:
        source = Source()
        source.document = None
        with pytest.raises(IdpError):
            await IdpKeySet(source).find_key("k", "EdDSA")

    async def test_without_a_key_id_only_where_one_key_matches(self) -> None:
        source = Source()
        assert await IdpKeySet(source).find_key(None, "EdDSA")
        source.document = {"keys": [public(), public(kid="two")]}
        assert await IdpKeySet(source).find_key(None, "EdDSA") is None

    async def test_a_key_signs_with_its_own_algorithm_only(self) -> None:
        source = Source()
        source.document = {"keys": [public(ec.generate_private_key(ec.SECP256R1()))]}
        keys = IdpKeySet(source)
        assert await keys.find_key("k", "ES256")
        for algorithm in ("ES384", "RS256", "EdDSA", "HS256"):
            assert await keys.find_key("k", algorithm) is None

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
    def test_unusable_keys_are_ignored(self, jwk: dict[str, Any]) -> None:
        with pytest.raises(IdpError):
            parse_keys({"keys": [jwk]})
        assert len(parse_keys({"keys": [jwk, public()]})) == 1


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
def test_a_literal_name_takes_precedence(claims: dict[str, Any], name: str, value: Any) -> None:
    assert find_claim(claims, name) == (True, value)


@pytest.mark.parametrize(
    ("claims", "name"), [({}, "a"), ({"a": [1]}, "a.0"), ({"a": "x"}, "a.x"), ({"a": {}}, "a.b"), ({}, "." * 1000)]
)
def test_missing_claims(claims: dict[str, Any], name: str) -> None:
    assert find_claim(claims, name)[0] is False


@pytest.mark.proves("R22")
@pytest.mark.parametrize("value", [False, None, 1, "true", "false", ..., []], ids=repr)
def test_only_true_verifies_an_email_address(value: Any) -> None:
    claims = {"email": "a@example.org", **({} if value is ... else {"email_verified": value})}
    assert verified_email(claims) is None
    assert verified_email({"email": "a@example.org", "email_verified": True}) == "a@example.org"
    assert is_email_based(claims, "A@example.org", "preferred_username")
    assert not is_email_based(claims, "a", "preferred_username")
