"""The directory of these tests, started once."""

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
    from tests.fixtures.slapd import running_directory

    logging.getLogger("python-ldap-test").setLevel(logging.ERROR)
    with running_directory(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def ldap(directory: Any) -> Iterator[MakeProvider]:
    """Make providers for the directory; arguments beginning with ``provider_`` are the provider's own settings."""
    made: list[LdapProvider] = []

    def make(**config: Any) -> LdapProvider:
        own = {key.removeprefix("provider_"): config.pop(key) for key in list(config) if key.startswith("provider_")}
        settings = {key: value for key, value in directory.settings(**config).items() if value is not None}
        made.append(LdapProvider(ProviderSettings(name="lab", kind="ldap", label="Lab", config=settings, **own)))
        directory.forget()
        return made[-1]

    yield make
    for one in made:
        one.close()
