"""A directory without ``memberOf``: groups by a search, or the start of the hub says that mapped groups cannot work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.settings import ProviderSettings
from tests.fixtures.hub import running_hub
from tests.hub.conftest import MakeProvider
from tests.hub.credentials import wait_until
from tests.hub.directory_users import GROUPS_DN, SUFFIX, USERS_DN, authenticate

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


@pytest.fixture(scope="module")
def plain_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from tests.fixtures.identity.slapd import running_directory

    logging.getLogger("python-ldap-test").setLevel(logging.ERROR)
    with running_directory(tmp_path_factory.mktemp("plain"), member_of=False) as running:
        yield running


@pytest.fixture
def plain_provider(plain_directory: Any) -> Iterator[Any]:
    providers: list[LdapProvider] = []

    def make(**config: Any) -> LdapProvider:
        settings = {key: value for key, value in plain_directory.settings(**config).items() if value is not None}
        providers.append(LdapProvider(ProviderSettings(name="lab", kind="ldap", label="Lab", config=settings)))
        return providers[-1]

    yield make
    for provider in providers:
        provider.close()


async def test_without_a_search_no_group_is_found_and_the_check_says_so(plain_provider: Any) -> None:
    provider = plain_provider()
    assert (await authenticate(provider, "alice")).groups == ()
    fault = await provider.find_group_fault()
    assert fault is not None
    for part in (USERS_DN, "`memberOf`", "mapping rules", "`config.group_search_base`"):
        assert part in fault


async def test_the_named_key_corrects_it(plain_provider: Any) -> None:
    provider = plain_provider(group_search_base=GROUPS_DN)
    assert (await authenticate(provider, "alice")).groups == ("team",)
    assert await provider.find_group_fault() is None


async def test_a_directory_with_the_attribute_has_no_fault(make_provider: MakeProvider, plain_provider: Any) -> None:
    assert await make_provider().find_group_fault() is None
    template = {"lookup_dn": None, "bind_dn_template": f"uid={{username}},{USERS_DN}"}
    assert await plain_provider(**template).find_group_fault() is None


def test_the_start_of_the_hub_says_it(plain_directory: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {
        "providers": [
            {"name": "local", "kind": "local"},
            {"name": "lab", "kind": "ldap", "config": plain_directory.settings()},
            {
                "name": "other",
                "kind": "ldap",
                "config": plain_directory.settings(group_search_base=f"ou=groups,{SUFFIX}"),
            },
        ]
    }
    with running_hub(tmp_path_factory.mktemp("groups"), settings) as hub:
        wait_until(lambda: "provider `lab`: mapping rules and groups of it cannot work" in hub.log, 20)
        assert "group_search_base" in hub.log
        assert "provider `other`: mapping" not in hub.log


async def test_a_private_certificate_authority_is_named_with_its_key(
    make_provider: MakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    from aizen_hub.hub.login.provider import ProviderUnreachableError

    with pytest.raises(ProviderUnreachableError) as error:
        await authenticate(make_provider(tls_kwargs={}), "alice")
    assert "tls_kwargs.ca_certs_file" in caplog.text
    assert "ca_certs_file" not in str(error.value), "the user at the form can do nothing about it"
