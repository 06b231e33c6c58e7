"""Every kind of pending change, confirmed in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.settings import Settings
from aizen_hub.store.sql_store import Store
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.pending_cases import CASES, PROVIDER, prepare_project, request_change

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser"), pytest.mark.slow]

PANEL = "/services/aizen/"
PROVIDERS = [
    {"name": "local", "kind": "local"},
    {
        "name": PROVIDER,
        "kind": "ldap",
        "config": {"server_address": "127.0.0.1", "server_port": 9, "bind_dn_template": "uid={username},dc=x"},
    },
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(
        tmp_path_factory.mktemp("p"),
        {"providers": PROVIDERS},
        accounts={"alice": "AIZEN_ADMIN"},
        seed=lambda tx: prepare_project(tx, "alice"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def changes(hub: HubHandle) -> dict[str, str]:
    """The id of one pending change of every kind."""
    settings = Settings.load(Path(hub.folder) / "aizen.yaml", {})
    with closing(Store.open(settings, load_catalog(settings.catalog, settings.overlays))) as store:
        return {kind: request_change(store, kind, "alice") for kind in CASES}


@pytest.fixture(scope="module")
def alice(hub: HubHandle, chromium: Any) -> Iterator[BrowserUser]:
    """An administrator who has just signed in."""
    from tests.fixtures.browser.pages import BrowserUser

    user = BrowserUser(chromium, hub.url)
    user.page.goto(PANEL + "account")
    user.login("alice", hub.passwords["alice"])
    user.page.click("#aizen-sign-in-again")
    user.reauthenticate(hub.passwords["alice"])
    user.page.wait_for_url("**" + PANEL + "account")
    yield user
    user.context.close()


@pytest.mark.proves("R77", "R118")
@pytest.mark.parametrize("kind", sorted(CASES))
def test_a_change_is_confirmed_and_its_secret_shown(alice: BrowserUser, changes: dict[str, str], kind: str) -> None:
    """The page after the confirmation says what was done, and is the only place where a secret is ever shown."""
    page = alice.page
    page.goto(f"{PANEL}requests")
    page.click(f"#aizen-changes a[href$='changes/{changes[kind]}']")
    page.click("#aizen-confirm")
    assert CASES[kind].answer.lower().replace("`", "") in page.inner_text("#aizen-confirmed").lower()
    secrets = page.locator(".aizen-secret").all_inner_texts()
    assert len(secrets) == bool(CASES[kind].shown_once)
    assert all(secret.startswith(CASES[kind].shown_once) for secret in secrets)
    page.click("text=Other requests and changes")
    assert page.locator(f"#aizen-changes a[href$='changes/{changes[kind]}']").count() == 0
    assert alice.complaints == []
