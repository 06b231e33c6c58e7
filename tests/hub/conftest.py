"""LDAP directory for the tests of the hub side, started once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.settings import ProviderSettings

MakeProvider = Callable[..., LdapProvider]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from tests.fixtures.identity.slapd import running_directory

    logging.getLogger("python-ldap-test").setLevel(logging.ERROR)
    with running_directory(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def make_provider(directory: Any) -> Iterator[MakeProvider]:
    """Create providers for the directory; arguments with the prefix ``provider_`` are settings of the entry."""
    providers: list[LdapProvider] = []

    def make(**config: Any) -> LdapProvider:
        provider_settings = {
            key.removeprefix("provider_"): config.pop(key) for key in list(config) if key.startswith("provider_")
        }
        settings = {key: value for key, value in directory.settings(**config).items() if value is not None}
        providers.append(
            LdapProvider(ProviderSettings(name="lab", kind="ldap", label="Lab", config=settings, **provider_settings))
        )
        directory.clear_log()
        return providers[-1]

    yield make
    for provider in providers:
        provider.close()
