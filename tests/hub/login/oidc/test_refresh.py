"""A real OpenID provider is asked again while the person is not there."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aizen_hub.hub.login.provider import ProviderUnreachable
from tests.fixtures.oidc_provider_server import Idp
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


@pytest.mark.proves("R63", "T-50")
async def test_a_refresh_sees_a_group_taken_away(make: Make, idp: Idp) -> None:
    provider = make(auth_state_groups_key="oauth_user.groups")
    first = await sign_in(provider, idp)
    idp.person("alice", groups=["staff"])
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.groups == ("staff",)
    assert again.subject == first.subject


async def test_a_refresh_without_userinfo_reads_the_new_id_token(make: Make, idp: Idp) -> None:
    idp.control(conform=False)
    provider = make(userdata_from_id_token=True, auth_state_groups_key="oauth_user.groups")
    first = await sign_in(provider, idp)
    idp.person("alice", groups=["staff"])
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.groups == ("staff",)


async def test_a_refresh_applies_restrictions_again(make: Make, idp: Idp) -> None:
    provider = make(allowed_groups=["staff"])
    first = await sign_in(provider, idp)
    idp.person("alice", groups=["else"])
    assert await provider.look_up(first.subject, first.name, first.keep) is None


async def test_a_replaced_refresh_token_is_kept_even_when_the_rest_fails(make: Make, idp: Idp) -> None:
    idp.control(rotate=True)
    provider = make()
    first = await sign_in(provider, idp)
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.keep["refresh"] != first.keep["refresh"]
    idp.control(faults={"userinfo": {"status": 500}})
    with pytest.raises(ProviderUnreachable) as outage:
        await provider.look_up(first.subject, first.name, again.keep)
    assert outage.value.keep is not None
    assert outage.value.keep["refresh"] != again.keep["refresh"]
    idp.control(faults={})
    assert await provider.look_up(first.subject, first.name, outage.value.keep) is not None


async def test_a_used_refresh_token_is_the_end(make: Make, idp: Idp) -> None:
    idp.control(rotate=True)
    provider = make()
    first = await sign_in(provider, idp)
    assert await provider.look_up(first.subject, first.name, first.keep) is not None
    assert await provider.look_up(first.subject, first.name, first.keep) is None


@pytest.mark.parametrize(
    "faults",
    [
        {"token": {"status": 500}},
        {"token": {"status": 429}},
        {"token": {"status": 401, "error": "invalid_client"}},
        {"token": {"delay": 1500}},
        {"token": {"redirect": True}},
        {"userinfo": {"status": 503}},
        {"userinfo": {"delay": 1500}},
    ],
    ids=str,
)
async def test_an_outage_at_refresh_is_not_the_end(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    provider = make(seconds=1)
    first = await sign_in(provider, idp)
    idp.control(faults=faults)
    started = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await provider.look_up(first.subject, first.name, first.keep)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "faults",
    [
        {"token": {"status": 400, "error": "invalid_grant"}},
        {"userinfo": {"status": 401, "error": "invalid_token"}},
        {"userinfo": {"merge": {"groups": "AIZEN_ADMIN"}}},
        {"userinfo": {"merge": {"sub": "sub-of-root"}}, "id_token": {"claims": {"sub": "sub-of-root"}}},
        {"id_token": {"claims": {"nonce": "another"}}},
        {"id_token": {"claims": {"aud": "other"}}},
        {"id_token": {"key": "foreign"}},
    ],
    ids=str,
)
async def test_a_refusal_or_a_lie_at_refresh_is_the_end(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    provider = make()
    first = await sign_in(provider, idp)
    idp.control(faults=faults)
    assert await provider.look_up(first.subject, first.name, first.keep) is None


async def test_without_a_refresh_token_the_access_token_asks(make: Make, idp: Idp) -> None:
    provider = make(auth_state_groups_key="oauth_user.groups")
    idp.control(faults={"token": {"merge": {"refresh_token": ""}}})
    first = await sign_in(provider, idp)
    assert "refresh" not in first.keep
    idp.person("alice", groups=["staff"])
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.groups == ("staff",)
