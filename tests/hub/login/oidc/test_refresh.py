"""Refresh at a real OpenID provider, without the user."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.login.provider import ProviderUnreachableError
from tests.fixtures.identity.oidc_provider_server import Idp
from tests.fixtures.timing import within
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


@pytest.mark.proves("R63", "T-50")
async def test_a_refresh_sees_a_removed_group(make: Make, idp: Idp) -> None:
    provider = make(auth_state_groups_key="oauth_user.groups")
    first = await sign_in(provider, idp)
    idp.add_user("alice", groups=["staff"])
    again = await provider.refresh(first.subject, first.name, first.provider_state)
    assert again is not None
    assert again.groups == ("staff",)
    assert again.subject == first.subject


async def test_a_refresh_without_userinfo_reads_the_new_id_token(make: Make, idp: Idp) -> None:
    idp.control(conform=False)
    provider = make(userdata_from_id_token=True, auth_state_groups_key="oauth_user.groups")
    first = await sign_in(provider, idp)
    idp.add_user("alice", groups=["staff"])
    again = await provider.refresh(first.subject, first.name, first.provider_state)
    assert again is not None
    assert again.groups == ("staff",)


async def test_a_refresh_applies_restrictions_again(make: Make, idp: Idp) -> None:
    provider = make(allowed_groups=["staff"])
    first = await sign_in(provider, idp)
    idp.add_user("alice", groups=["else"])
    assert await provider.refresh(first.subject, first.name, first.provider_state) is None


async def test_a_new_refresh_token_is_kept_even_when_a_later_step_fails(make: Make, idp: Idp) -> None:
    idp.control(rotate=True)
    provider = make()
    first = await sign_in(provider, idp)
    again = await provider.refresh(first.subject, first.name, first.provider_state)
    assert again is not None
    assert again.provider_state["refresh"] != first.provider_state["refresh"]
    idp.control(faults={"userinfo": {"status": 500}})
    with pytest.raises(ProviderUnreachableError) as outage:
        await provider.refresh(first.subject, first.name, again.provider_state)
    assert outage.value.provider_state is not None
    assert outage.value.provider_state["refresh"] != again.provider_state["refresh"]
    idp.control(faults={})
    assert await provider.refresh(first.subject, first.name, outage.value.provider_state) is not None


async def test_a_used_refresh_token_is_the_end(make: Make, idp: Idp) -> None:
    idp.control(rotate=True)
    provider = make()
    first = await sign_in(provider, idp)
    assert await provider.refresh(first.subject, first.name, first.provider_state) is not None
    assert await provider.refresh(first.subject, first.name, first.provider_state) is None


@pytest.mark.parametrize(
    "faults",
    [
        {"token": {"status": 500}},
        {"token": {"status": 429}},
        {"token": {"status": 401, "error": "invalid_client"}},
        {"token": {"delay": 60_000}},
        {"token": {"redirect": True}},
        {"userinfo": {"status": 503}},
        {"userinfo": {"delay": 60_000}},
    ],
    ids=str,
)
async def test_an_outage_at_refresh_is_not_the_end(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    provider = make(seconds=3)
    first = await sign_in(make(), idp)
    idp.control(faults=faults)
    with within(20), pytest.raises(ProviderUnreachableError):
        await provider.refresh(first.subject, first.name, first.provider_state)


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
async def test_a_denied_or_forged_refresh_is_the_end(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    provider = make()
    first = await sign_in(provider, idp)
    idp.control(faults=faults)
    assert await provider.refresh(first.subject, first.name, first.provider_state) is None


async def test_without_a_refresh_token_the_access_token_is_used(make: Make, idp: Idp) -> None:
    provider = make(auth_state_groups_key="oauth_user.groups")
    idp.control(faults={"token": {"merge": {"refresh_token": ""}}})
    first = await sign_in(provider, idp)
    assert "refresh" not in first.provider_state
    idp.add_user("alice", groups=["staff"])
    again = await provider.refresh(first.subject, first.name, first.provider_state)
    assert again is not None
    assert again.groups == ("staff",)
