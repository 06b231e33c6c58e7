"""Settings of a directory: mistakes stop the start, and insecure settings need their flag."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.hub.login.ldap.config import read_ldap_config, read_lookup_password
from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.settings import ConfigurationError, ProviderSettings
from tests.hub.conftest import MakeProvider
from tests.hub.directory_users import USERS_DN, authenticate

pytestmark = pytest.mark.needs("slapd")


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"server_adress": "x"}, "server_adress"),
        ({"use_ssl": True}, "use_ssl"),
        ({"admin_users": ["alice"]}, "admin_users"),
        ({"username_map": {"bob": "alice"}}, "username_map"),
        ({"tls_strategy": "insecure"}, "insecure_tls: true"),
        ({"tls_kwargs": {"validate": "CERT_NONE"}}, "insecure_tls: true"),
        ({"tls_kwargs": {"validate": "CERT_OPTIONAL"}}, "insecure_tls: true"),
        ({"tls_kwargs": {"validate": "NO"}}, "tls_kwargs.validate"),
        ({"tls_kwargs": {"valid_names": ["*"]}}, "insecure_tls: true"),
        ({"tls_kwargs": {"ca_certs_file": "no/such.pem"}}, "tls_kwargs.ca_certs_file"),
        ({"server_port": "many"}, "server_port"),
        ({"server_address": ""}, "server_address"),
        ({"lookup_dn": None}, "bind_dn_template"),
        ({"bind_dn_template": f"uid={{username}},{USERS_DN}"}, "bind_dn_template"),
        ({"lookup_dn": None, "bind_dn_template": "alice"}, "bind_dn_template"),
        ({"lookup_dn": None, "bind_dn_template": "{username}@lab.test"}, "bind_dn_template"),
        ({"user_attribute": None}, "user_attribute"),
        ({"user_search_base": None}, "user_search_base"),
        ({"lookup_dn_search_password": None}, "lookup_dn_search_password_file"),
        ({"allowed_groups": ["team"]}, "allowed_groups"),
        ({"nested_group_depth": 2}, "group_search_base"),
        ({"group_names": "ou"}, "group_names"),
    ],
)
@pytest.mark.proves("R1", "R4")
def test_a_mistake_stops_the_start_and_is_named(make_provider: MakeProvider, config: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        make_provider(**config)
    assert key in str(error.value)


@pytest.mark.proves("R4")
async def test_unverified_tls_needs_its_flag_and_is_measured(directory: Any, caplog: pytest.LogCaptureFixture) -> None:
    from aizen_hub.hub.login.ldap.provider import INSECURE_TLS

    config = directory.settings(tls_kwargs={"validate": "CERT_NONE"})
    provider = LdapProvider(ProviderSettings(name="open", kind="ldap", config=config, insecure_tls=True))
    try:
        assert "TLS is not verified" in caplog.text
        assert INSECURE_TLS.labels("ldap:open")._value.get() == 1
        assert (await authenticate(provider, "alice")).name == "alice"
    finally:
        provider.close()


def test_the_library_would_verify_nothing_by_itself() -> None:
    """The reason for the settings above; if this fails, ldap3 changed its defaults."""
    import ldap3

    assert ldap3.Tls().validate == ssl.CERT_NONE
    assert ldap3.Server("x").allowed_referral_hosts == [("*", True)]


def test_the_password_file_of_the_lookup_account_is_taken_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "lookup").write_text("a made-up password\n", encoding="utf-8")
    config = {
        "server_address": "ldap.example.org",
        "lookup_dn": True,
        "lookup_dn_search_user": "cn=hub,dc=example,dc=org",
        "lookup_dn_search_password_file": "lookup",
        "user_search_base": "ou=people,dc=example,dc=org",
        "user_attribute": "uid",
    }
    traits = read_ldap_config(ProviderSettings(name="ldap", kind="ldap", config=config), tmp_path)
    assert read_lookup_password(traits) == "a made-up password"
