"""A real OpenID provider, and a factory of providers that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.settings import ProviderSettings
from tests.fixtures.identity.oidc_provider_server import Idp, running_idp
from tests.hub.login.oidc.login_flow import Make


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with running_idp() as running:
        yield running


@pytest.fixture(autouse=True)
def reset_provider(idp: Idp) -> None:
    idp.users.clear()
    idp.add_user("alice", email="alice@example.org", email_verified=True, groups=["staff", "/projects/admin"])
    idp.control(faults={}, rotate=False, conform=True, logout={})


@pytest.fixture
async def make(idp: Idp) -> AsyncIterator[Make]:
    made: list[OidcProvider] = []

    def build(
        seconds: float = 5.0, authenticator: str | None = None, groups_required: bool = False, **config: Any
    ) -> OidcProvider:
        settings = ProviderSettings(
            name="idp",
            kind="oidc",
            label="Lab IdP",
            deadline_seconds=seconds,
            authenticator=authenticator,
            config=idp.settings(**config),
        )
        made.append(OidcProvider(settings, groups_required=groups_required))
        return made[-1]

    yield build
    for provider in made:
        provider.close()
