"""Trait names of ldapauthenticator keep their meaning, or the doctor and docs/ldap.md name the difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aizen_hub.hub.login.ldap.config import SUPPORTED_KEYS, read_ldap_config
from aizen_hub.hub.login.ldap.differences import find_differences
from aizen_hub.hub.login.provider import AccessDeniedError
from aizen_hub.settings import ProviderSettings
from tests.hub.conftest import MakeProvider
from tests.hub.directory_users import GROUPS_DN, USERS_DN, authenticate

DOCUMENT = Path(__file__).parents[4] / "docs" / "ldap.md"
LOOKUP = {
    "server_address": "ldap.example.org",
    "lookup_dn": True,
    "user_search_base": USERS_DN,
    "user_attribute": "uid",
}


def differences(**config: Any) -> list[str]:
    settings = {key: value for key, value in {**LOOKUP, **config}.items() if value is not None}
    traits = read_ldap_config(ProviderSettings(name="lab", kind="ldap", config=settings))
    return [difference.setting for difference in find_differences(traits)]


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, []),
        ({"allowed_users": ["alice"]}, []),
        ({"allowed_groups": [f"cn=team,{GROUPS_DN}"]}, []),
        ({"allowed_users": ["alice"], "allowed_groups": [f"cn=team,{GROUPS_DN}"]}, ["allowed_users"]),
        ({"search_filter": "(uid={username})"}, ["search_filter"]),
        ({"valid_username_regex": "^[a-z]+$"}, []),
        ({"valid_username_regex": "^[a-z]+"}, ["valid_username_regex"]),
        ({"lookup_dn_search_filter": "(|(uid={login})(mail={login}))"}, ["lookup_dn_search_filter"]),
        (
            {
                "lookup_dn_search_filter": "(mail={login})",
                "use_lookup_dn_username": True,
                "lookup_dn_user_dn_attribute": "uid",
            },
            [],
        ),
    ],
)
def test_the_configured_differences_are_found_and_documented(config: dict[str, Any], settings: list[str]) -> None:
    assert differences(**config) == settings
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"| `{setting}" in text for setting in settings)


def test_the_document_names_existing_settings_only() -> None:
    rows = [line.split("|")[1] for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in row.split("`")[1::2]}
    refused = {"use_ssl", "escape_userdn", "username_map", "admin_users"}
    assert named <= SUPPORTED_KEYS | refused
    assert len(rows) >= 9


@pytest.mark.needs("slapd")
class TestMeaning:
    async def test_username_in_a_search_filter_is_the_attribute_that_was_looked_up(
        self, make_provider: MakeProvider
    ) -> None:
        provider = make_provider(lookup_dn_user_dn_attribute="cn", search_filter="(cn={username})")
        assert (await authenticate(provider, "bob")).name == "bob"
        with pytest.raises(AccessDeniedError):
            await authenticate(make_provider(search_filter="(cn={username})"), "alice")

    async def test_uid_in_a_group_filter_is_the_same(self, make_provider: MakeProvider) -> None:
        config = {"group_search_base": GROUPS_DN, "group_search_filter": "(&(cn=team)(description=*)(cn={uid}))"}
        assert (await authenticate(make_provider(**config), "bob")).groups == ("admins", "outside")
        found = {**config, "group_search_filter": f"(&(cn=outside)(member=uid={{uid}},{USERS_DN}))"}
        provider = make_provider(lookup_dn_user_dn_attribute="uid", **found)
        assert (await authenticate(provider, "bob")).groups == ("admins", "outside")

    async def test_a_value_with_special_characters_stays_text(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        bob = f"uid=bob,{USERS_DN}"
        directory.modify(bob, "replace: title", "title: *)(uid=*")
        try:
            provider = make_provider(lookup_dn_user_dn_attribute="title", search_filter="(title={username})")
            assert (await authenticate(provider, "bob")).name == "bob"
            with pytest.raises(AccessDeniedError, match="cannot be used"):
                await authenticate(provider, "carol")  # who has no title
        finally:
            directory.modify(bob, "delete: title")

    async def test_attributes_are_in_the_auth_state(self, make_provider: MakeProvider) -> None:
        provider = make_provider(auth_state_attributes=["mail", "displayName", "telephoneNumber"])
        identity = await authenticate(provider, "alice")
        expected = {"mail": ["alice@example.org"], "displayName": ["Alice Ärmel"], "telephoneNumber": []}
        assert identity.auth_state == {"user_attributes": expected}
        again = await provider.refresh(identity.subject, "alice")
        assert again is not None
        assert again.auth_state == identity.auth_state
        assert (await authenticate(make_provider(), "alice")).auth_state == {}
