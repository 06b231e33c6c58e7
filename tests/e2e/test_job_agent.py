"""The job agent of AI Hub gets its credential from the first administrator: command line, then panel, then used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from aizen_hub.client.sync_client import SyncClient
from tests.fixtures.hub import HubHandle, running_hub

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser"), pytest.mark.slow]

PANEL = "/services/aizen/"
ACCOUNT = "/api/v1/service-accounts/aihub-jobagent"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "scoring", owner=Identity.user("bob"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"ada": "aihub:admin", "bob": ""}
    with running_hub(tmp_path_factory.mktemp("a"), {"catalog": "aihub"}, accounts=accounts, seed=seed) as running:
        yield running


@pytest.mark.proves("R77", "R134", "R144")
def test_the_first_administrator_issues_the_credential(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    page = hub.login("ada").api("POST", "/hub/api/users/ada/tokens", {"note": "test", "expires_in": 600})
    command_line = SyncClient(hub.url + "/services/aizen", f"token {page.json()['token']}")
    result = command_line.post(f"{ACCOUNT}/credentials", {})
    assert "waiting for confirmation" in result["message"]

    ada = person()
    ada.page.goto(f"{PANEL}changes/{result['data']['pending']}")
    ada.login("ada", hub.passwords["ada"])
    ada.page.click("#aizen-sign-in-again")
    ada.reauthenticate(hub.passwords["ada"])
    ada.page.click("#aizen-confirm")
    credential = ada.page.inner_text(".aizen-secret").strip()

    agent = SyncClient(hub.service_url, f"Bearer {credential}")
    assert agent.post("/api/v1/impersonate", {"user": "bob", "project": "scoring"})["token"]
