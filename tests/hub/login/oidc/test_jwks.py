"""Keys and metadata of a real OpenID provider: rotated, false, or not there (T-12)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aizen_hub.hub.login.oidc.provider import GrantRefused
from aizen_hub.hub.login.provider import NotLetIn, ProviderUnreachable
from tests.fixtures.oidc_provider_server import Idp
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


async def test_rotated_keys_are_found_once_a_minute(make: Make, idp: Idp) -> None:
    provider = make()
    await sign_in(provider, idp)
    before = idp.control()["calls"]["jwks"]
    idp.control(rotateKeys=True)
    assert (await sign_in(provider, idp)).name == "alice"
    assert idp.control()["calls"]["jwks"] == before + 1
    idp.control(faults={"id_token": {"header": {"kid": "made-up"}}})
    for _ in range(3):
        with pytest.raises(NotLetIn):
            await sign_in(provider, idp)
    assert idp.control()["calls"]["jwks"] == before + 1


async def test_other_algorithms_work(make: Make, idp: Idp) -> None:
    for algorithm in ("ES256", "EdDSA", "PS256"):
        idp.control(rotateKeys=algorithm)
        assert (await sign_in(make(), idp)).name == "alice"
    idp.control(rotateKeys=True)


@pytest.mark.proves("T-12")
async def test_the_last_good_keys_and_metadata_stay(make: Make, idp: Idp) -> None:
    provider = make()
    await sign_in(provider, idp)
    assert provider._discovery is not None
    provider._discovery._next = 0.0
    provider._tokens._keys._next = 0.0  # type: ignore[union-attr]
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
    "slow": {"delay": 1500},
}


@pytest.mark.proves("T-12")
@pytest.mark.parametrize("fault", METADATA.values(), ids=METADATA)
async def test_false_metadata_is_no_provider(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    if fault.get("merge", {}).get("issuer") == "SLASH":
        fault = {"merge": {"issuer": idp.issuer + "/"}}
    idp.control(faults={"discovery": fault})
    started = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await make(seconds=1).begin()
    assert time.monotonic() - started < 2


KEY_SETS: dict[str, dict[str, Any]] = {
    "redirect": {"redirect": True},
    "huge": {"size": 2 << 20},
    "no keys": {"raw": '{"keys": []}'},
    "symmetric key": {"raw": '{"keys": [{"kty": "oct", "k": "AAAA"}]}'},
    "too many": {"merge": {"keys": [{"kty": "RSA"}] * 101}},
    "slow": {"delay": 1500},
    "error": {"status": 500},
}


@pytest.mark.proves("T-12")
@pytest.mark.parametrize("fault", KEY_SETS.values(), ids=KEY_SETS)
async def test_a_false_key_set_lets_nobody_in(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    idp.control(faults={"jwks": fault})
    with pytest.raises(ProviderUnreachable):
        await sign_in(make(seconds=1), idp)


ANSWERS: dict[str, dict[str, Any]] = {
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
    "userinfo: slow": {"userinfo": {"delay": 1500}},
}


@pytest.mark.parametrize("faults", ANSWERS.values(), ids=ANSWERS)
async def test_nonsense_at_sign_in_is_an_outage(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    idp.control(faults=faults)
    started = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await sign_in(make(seconds=1), idp)
    assert time.monotonic() - started < 3


@pytest.mark.proves("R98")
async def test_no_credential_reaches_a_log_or_a_sentence(
    make: Make, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    sentences = []
    for faults in ({"token": {"merge": {"access_token": 7}}}, {"userinfo": {"status": 401}}, {"userinfo": {"raw": ""}}):
        idp.control(faults=faults)
        with pytest.raises((ProviderUnreachable, GrantRefused, NotLetIn)) as refused:
            await sign_in(make(), idp)
        sentences.append(str(refused.value))
    seen = caplog.text + "".join(sentences)
    for secret in ("the-secret-of-the-hub", "eyJ", "refresh_token"):
        assert secret not in seen
