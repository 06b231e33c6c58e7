"""Keys and metadata of a real OpenID provider: rotated, invalid, or missing (T-12)."""

from __future__ import annotations

import json
import random
import urllib.request
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from aizen_hub.hub.login.oidc.http import IdpError
from aizen_hub.hub.login.oidc.jwks import IdpKeySet, parse_keys
from aizen_hub.hub.login.oidc.provider import GrantError
from aizen_hub.hub.login.provider import AccessDeniedError, ProviderUnreachableError
from tests.fixtures.identity.oidc_provider_server import Idp
from tests.fixtures.security.jwts import find_jwts
from tests.fixtures.security.roca import vulnerable_modulus
from tests.fixtures.timing import within
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


async def test_rotated_keys_are_read_once_a_minute(make: Make, idp: Idp) -> None:
    provider = make()
    await sign_in(provider, idp)
    before = idp.control()["calls"]["jwks"]
    idp.control(rotateKeys=True)
    assert (await sign_in(provider, idp)).name == "alice"
    assert idp.control()["calls"]["jwks"] == before + 1
    idp.control(faults={"id_token": {"header": {"kid": "made-up"}}})
    for _ in range(3):
        with pytest.raises(AccessDeniedError):
            await sign_in(provider, idp)
    assert idp.control()["calls"]["jwks"] == before + 1


async def test_other_algorithms_work(make: Make, idp: Idp) -> None:
    for algorithm in ("ES256", "EdDSA", "PS256"):
        idp.control(rotateKeys=algorithm)
        assert (await sign_in(make(), idp)).name == "alice"
    idp.control(rotateKeys=True)


@pytest.mark.proves("T-12")
async def test_the_last_valid_keys_and_metadata_are_kept(make: Make, idp: Idp) -> None:
    provider = make()
    await sign_in(provider, idp)
    assert provider._discovery is not None
    provider._discovery._next_read_at = 0.0
    provider._token_verifier._keys._next_read_at = 0.0  # type: ignore[union-attr]
    idp.control(faults={"discovery": {"status": 500}, "jwks": {"raw": "{}"}})
    assert (await sign_in(provider, idp)).name == "alice"


METADATA: dict[str, dict[str, Any]] = {
    "another issuer": {"merge": {"issuer": "https://evil.example.org"}},
    "issuer with a slash": {"merge": {"issuer": "SLASH"}},
    "token endpoint elsewhere in clear": {"merge": {"token_endpoint": "http://evil.example.org/token"}},
    "keys from a file": {"merge": {"jwks_uri": "file:///etc/passwd"}},
    "password in an address": {"merge": {"jwks_uri": "https://a:b@example.org/"}},
    "endpoint a number": {"merge": {"authorization_endpoint": 7}},
    "userinfo in clear": {"merge": {"userinfo_endpoint": "http://example.org/me"}},
    "redirect": {"redirect": True},
    "huge": {"size": 2 << 20},
    "a list": {"raw": "[]"},
    "not JSON": {"raw": "<html>"},
    "duplicate member": {"raw": '{"issuer": "a", "issuer": "b"}'},
    "error": {"status": 503},
    "slow": {"delay": 60_000},
}


@pytest.mark.proves("T-12")
@pytest.mark.parametrize("fault", METADATA.values(), ids=METADATA)
async def test_invalid_metadata_is_rejected(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    if fault.get("merge", {}).get("issuer") == "SLASH":
        fault = {"merge": {"issuer": idp.issuer + "/"}}
    idp.control(faults={"discovery": fault})
    with within(20), pytest.raises(ProviderUnreachableError):
        await make(seconds=1 if "delay" in fault else 30).prepare_login()


KEY_SETS: dict[str, dict[str, Any]] = {
    "redirect": {"redirect": True},
    "huge": {"size": 2 << 20},
    "no keys": {"raw": '{"keys": []}'},
    "symmetric key": {"raw": '{"keys": [{"kty": "oct", "k": "AAAA"}]}'},
    "too many": {"merge": {"keys": [{"kty": "RSA"}] * 101}},
    "slow": {"delay": 60_000},
    "error": {"status": 500},
}


@pytest.mark.proves("T-12")
@pytest.mark.parametrize("fault", KEY_SETS.values(), ids=KEY_SETS)
async def test_an_invalid_key_set_denies_logins(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    idp.control(faults={"jwks": fault})
    with within(40), pytest.raises(ProviderUnreachableError):
        await sign_in(make(seconds=3 if "delay" in fault else 60), idp)


ODD_KEYS: list[Any] = [
    {"kty": "RSA", "key_ops": None},
    {"kty": "RSA", "key_ops": 7},
    {"kty": "RSA", "key_ops": {"verify": 1}},
    {"kty": "EC", "crv": ["P-256"], "x": 1, "y": None},
    {"kty": "RSA", "n": 5, "e": "AQAB"},
    {"kty": "RSA", "n": "\u00e9", "e": "AQAB"},
    {"kty": "RSA", "n": "AQAB", "e": ""},
    {"kty": "OKP", "crv": "Ed25519", "x": {}},
    {"kty": ["RSA"], "alg": {}},
    {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"},
    {"kid": 7},
    {"use": ["sig"]},
    {},
    7,
    None,
    "key",
    [],
]


def published_keys(idp: Idp) -> list[Any]:
    with urllib.request.urlopen(f"{idp.issuer}/jwks", timeout=10) as answer:
        keys = json.load(answer)["keys"]
    assert isinstance(keys, list)
    return keys


@pytest.mark.proves("R143", "T-12")
async def test_an_odd_key_does_not_lose_the_good_ones_beside_it(make: Make, idp: Idp) -> None:
    good = published_keys(idp)
    idp.control(faults={"jwks": {"merge": {"keys": [*ODD_KEYS, *good, *ODD_KEYS]}}})
    assert (await sign_in(make(), idp)).name == "alice"


@pytest.mark.parametrize("odd", ODD_KEYS, ids=range(len(ODD_KEYS)))
@pytest.mark.proves("R143")
def test_each_odd_key_is_skipped(idp: Idp, odd: Any) -> None:
    good = published_keys(idp)
    assert [key.kid for key in parse_keys({"keys": [odd, *good]})] == [key.kid for key in parse_keys({"keys": good})]
    with pytest.raises(IdpError):
        parse_keys({"keys": [odd]})


def test_an_absent_member_may_be_written_as_null(idp: Idp) -> None:
    nulls = {"key_ops": None, "x5c": None, "x5t": None, "alg": None}
    keys = [{**nulls, **{name: value for name, value in key.items() if name != "alg"}} for key in published_keys(idp)]
    assert parse_keys({"keys": keys})


@pytest.mark.proves("R143")
async def test_a_set_of_odd_keys_only_keeps_the_last_good_one(idp: Idp) -> None:
    documents: list[Any] = [{"keys": published_keys(idp)}, {"keys": ODD_KEYS}]
    now = 0.0

    async def read() -> Any:
        return documents.pop(0) if documents else {"keys": [{"key_ops": None}]}

    key_set = IdpKeySet(read, clock=lambda: now)
    kid = documents[0]["keys"][0]["kid"]
    algorithm = str(documents[0]["keys"][0].get("alg", "RS256"))
    for now in (0.0, 4_000.0, 8_000.0):  # noqa: B007 - read by the clock
        key = await key_set.find_key(kid, algorithm)
        assert key is not None
        assert key.kid == kid


def test_a_key_whose_private_half_can_be_computed_is_refused(idp: Idp, caplog: pytest.LogCaptureFixture) -> None:
    modulus = vulnerable_modulus(2048, random.Random(3))
    number = urlsafe_b64encode(modulus.to_bytes(256, "big")).rstrip(b"=").decode()
    weak = {"kty": "RSA", "kid": "smart-card", "use": "sig", "n": number, "e": "AQAB"}
    good = published_keys(idp)
    assert "smart-card" not in [key.kid for key in parse_keys({"keys": [weak, *good]})]
    assert "`smart-card`" in caplog.text
    assert "ROCA" in caplog.text


RESPONSES: dict[str, dict[str, Any]] = {
    "token: error": {"token": {"status": 500}},
    "token: wrong client": {"token": {"status": 401, "error": "invalid_client"}},
    "token: redirect": {"token": {"redirect": True}},
    "token: no access token": {"token": {"raw": "{}"}},
    "token: a list": {"token": {"raw": "[]"}},
    "token: not JSON": {"token": {"raw": "<html>"}},
    "token: nothing": {"token": {"raw": ""}},
    "token: access token a number": {"token": {"merge": {"access_token": 7}}},
    "userinfo: error": {"userinfo": {"status": 502}},
    "userinfo: a list": {"userinfo": {"raw": "[]"}},
    "userinfo: not JSON": {"userinfo": {"raw": "eyJ.eyJ.sig"}},
    "userinfo: slow": {"userinfo": {"delay": 60_000}},
}


@pytest.mark.parametrize("faults", RESPONSES.values(), ids=RESPONSES)
async def test_an_invalid_response_at_login_is_an_outage(
    make: Make, idp: Idp, faults: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    idp.control(faults=faults)
    with within(40), pytest.raises(ProviderUnreachableError):
        await sign_in(make(seconds=3 if "slow" in request.node.callspec.id else 60), idp)


@pytest.mark.proves("R98")
async def test_no_credential_reaches_a_log_or_a_message(make: Make, idp: Idp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    messages = []
    for faults in ({"token": {"merge": {"access_token": 7}}}, {"userinfo": {"status": 401}}, {"userinfo": {"raw": ""}}):
        idp.control(faults=faults)
        with pytest.raises((ProviderUnreachableError, GrantError, AccessDeniedError)) as refused:
            await sign_in(make(), idp)
        messages.append(str(refused.value))
    seen = caplog.text + "".join(messages)
    for secret in ("the-secret-of-the-hub", "refresh_token"):
        assert secret not in seen
    assert find_jwts(seen) == []
