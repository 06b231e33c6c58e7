"""A real OpenID provider with forged ID tokens: one forgery for each check of R23."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aizen_hub.hub.login.oidc.provider import GrantError
from aizen_hub.hub.login.provider import AccessDeniedError, ProviderUnreachableError
from tests.fixtures.identity.oidc_provider_server import Idp
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


NOW = time.time()
FORGERIES: dict[str, tuple[dict[str, Any], str]] = {
    "no ID token": ({"drop": True}, "compact form"),
    "foreign key": ({"key": "foreign"}, "signature"),
    "flipped signature": ({"flip": True}, "signature"),
    "unknown kid": ({"header": {"kid": "another"}}, "provider does not publish its key"),
    "alg none": ({"key": "none", "header": {"alg": "none"}}, "compact form"),
    "public key as secret": ({"key": "hmac", "header": {"alg": "HS256"}}, "alg"),
    "crit": ({"header": {"b64": True}}, "header"),
    "key brought along": ({"header": {"jwk": {"kty": "RSA"}}}, "header"),
    "key address brought along": ({"header": {"jku": "http://127.0.0.1:9/"}}, "header"),
    "role token": ({"header": {"typ": "aizen-role+jwt"}}, "typ"),
    "access token": ({"header": {"typ": "at+jwt"}}, "typ"),
    "logout token": ({"header": {"typ": "logout+jwt"}}, "typ"),
    "other issuer": ({"claims": {"iss": "https://evil.example.org"}}, "iss"),
    "issuer with a slash": ({"claims": {"iss": "SLASH"}}, "iss"),
    "no issuer": ({"claims": {"iss": None}}, "iss"),
    "other audience": ({"claims": {"aud": "other"}}, "aud"),
    "no audience": ({"claims": {"aud": None}}, "aud"),
    "audience an object": ({"claims": {"aud": {"hub": 1}}}, "aud"),
    "several audiences without azp": ({"claims": {"aud": ["hub", "other"]}}, "azp"),
    "other azp": ({"claims": {"aud": ["hub", "other"], "azp": "other"}}, "azp"),
    "other azp, one audience": ({"claims": {"azp": "other"}}, "azp"),
    "expired": ({"claims": {"exp": int(NOW) - 60}}, "exp"),
    "no end": ({"claims": {"exp": None}}, "exp"),
    "end as text": ({"claims": {"exp": "9999999999"}}, "exp"),
    "end true": ({"claims": {"exp": True}}, "exp"),
    "from the future": ({"claims": {"iat": int(NOW) + 7200}}, "iat"),
    "not yet valid": ({"claims": {"nbf": int(NOW) + 7200}}, "nbf"),
    "other nonce": ({"claims": {"nonce": "another"}}, "nonce"),
    "no nonce": ({"claims": {"nonce": None}}, "nonce"),
    "no subject": ({"claims": {"sub": None}}, "sub"),
    "subject a number": ({"claims": {"sub": 7}}, "sub"),
    "subject too long": ({"claims": {"sub": "x" * 256}}, "sub"),
    "other access token": ({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "at_hash"),
}


@pytest.mark.proves("R23", "R38", "R39", "R43", "T-13")
@pytest.mark.parametrize(("fault", "says"), FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_id_token_denies_the_login(make: Make, idp: Idp, fault: dict[str, Any], says: str) -> None:
    if fault.get("claims", {}).get("iss") == "SLASH":
        fault = {"claims": {"iss": idp.issuer + "/"}}
    idp.control(faults={"id_token": fault})
    with pytest.raises(AccessDeniedError, match=says):
        await sign_in(make(), idp)


VALID: dict[str, dict[str, Any]] = {
    "as it is": {},
    "audience in a list": {"claims": {"aud": ["hub"]}},
    "several audiences with azp": {"claims": {"aud": ["hub", "other"], "azp": "hub"}},
    "typ": {"header": {"typ": "JWT"}},
    "just expired, within the skew": {"claims": {"exp": int(NOW) + 5}},
}


@pytest.mark.parametrize("fault", VALID.values(), ids=VALID)
async def test_a_valid_id_token_is_accepted(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    if "exp" in fault.get("claims", {}):
        fault = {"claims": {"exp": int(time.time()) - 5}}
    idp.control(faults={"id_token": fault})
    assert (await sign_in(make(), idp)).name == "alice"


@pytest.mark.proves("R23")
async def test_the_allow_list_of_algorithms_is_applied(make: Make, idp: Idp) -> None:
    with pytest.raises(AccessDeniedError, match="alg"):
        await sign_in(make(id_token_algorithms=["ES256"]), idp)


@pytest.mark.proves("R26")
async def test_a_code_needs_its_verifier(make: Make, idp: Idp) -> None:
    with pytest.raises(GrantError):
        await sign_in(make(), idp, verifier="x" * 43)


@pytest.mark.proves("R26")
async def test_an_invented_code_is_rejected(make: Make, idp: Idp) -> None:
    with pytest.raises(GrantError):
        await sign_in(make(), idp, code="made-up")


async def test_userinfo_about_another_subject_is_rejected(make: Make, idp: Idp) -> None:
    idp.control(faults={"userinfo": {"merge": {"sub": "sub-of-root"}}})
    with pytest.raises(ProviderUnreachableError):
        await sign_in(make(), idp)


async def test_claims_of_the_id_token_alone(make: Make, idp: Idp) -> None:
    idp.control(conform=False)
    identity = await sign_in(make(userdata_from_id_token=True, auth_state_groups_key="oauth_user.groups"), idp)
    assert identity.groups == ("/projects/admin", "staff")


async def test_a_recent_login_is_proven_by_auth_time(make: Make, idp: Idp) -> None:
    identity = await sign_in(make(), idp, fresh=True)
    assert identity.authenticated_at is not None
    assert abs(time.time() - identity.authenticated_at) < 60
    for claims in ({"auth_time": None}, {"auth_time": int(time.time()) - 3600}):
        idp.control(faults={"id_token": {"claims": claims}})
        with pytest.raises(AccessDeniedError, match="again"):
            await sign_in(make(), idp, fresh=True)
