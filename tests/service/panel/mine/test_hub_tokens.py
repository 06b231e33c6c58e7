"""One's own tokens at the hub: listed without their value, ended after a recent sign-in, and a hub that is away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from aizen_hub.service.auth.hub_api import HubApiClient
from aizen_hub.service.auth.hub_connection import HubConnection
from aizen_hub.store import tables
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.projects.objects import post, seed, words
from tests.service.panel.window import FakeHub

__all__ = ["seed"]
PAGE = "me/sessions"


def token(number: int, note: str, **more: Any) -> dict[str, Any]:
    return {"id": f"a{number}", "note": note, "client": "JupyterHub", "created": "2030-01-01T00:00:00+00:00", **more}


@pytest.fixture
def tokens(panel: PanelService) -> Iterator[dict[str, list[dict[str, Any]]]]:
    panel.hub.user_tokens = {
        "maker": [token(7, "nightly export", expires="2031-05-06T00:00:00+00:00"), token(8, "<b>notebook</b>")],
        "boss": [token(9, "of boss")],
    }
    yield panel.hub.user_tokens
    panel.hub.user_tokens, panel.hub.is_away, panel.hub.has_more = {}, False, False


@pytest.mark.proves("R77")
def test_own_tokens_are_listed_and_ended_after_a_recent_sign_in(panel: PanelService, tokens: Any) -> None:
    page = panel.get("maker", PAGE)
    assert "nightly export" in page
    assert "&lt;b&gt;notebook" in page
    assert "of boss" not in page
    assert "Ending a token needs a recent sign-in" in words(page)
    assert "/me/hub-tokens/end" not in page
    assert post(panel, "maker", "me/hub-tokens/end", token="a7").status == 403
    assert len(tokens["maker"]) == 2
    panel.sign_in_again("maker")
    assert "/me/hub-tokens/end" in panel.get("maker", PAGE)
    assert post(panel, "maker", "me/hub-tokens/end", token="a7").status == 303
    assert [entry["id"] for entry in tokens["maker"]] == ["a8"]
    post(panel, "maker", "me/hub-tokens/end", token="a9")
    assert [entry["id"] for entry in tokens["boss"]] == ["a9"], "the token of another user is none of theirs"
    assert post(panel, "maker", "me/hub-tokens/end", token="../x").status in (400, 422)
    secret = panel.driver.context.settings.hub_secret_path.read_text().strip()
    assert panel.hub.secrets == {f"Bearer {secret}"}
    with panel.store.read() as tx:
        audit = tables.audit
        rows = tx.conn.execute(select(audit).where(audit.c.event == "hub-token.end")).all()
    assert len(rows) == 2


def test_a_hub_that_is_away_keeps_no_page(panel: PanelService, tokens: Any) -> None:
    panel.hub.is_away = True
    panel.sign_in_again("maker")
    content = words(panel.get("maker", PAGE))
    assert "The hub does not answer now, so your tokens there are not shown" in content
    assert "My running servers" in content or "No server of yours runs" in content
    assert post(panel, "maker", "me/hub-tokens/end", token="a7").status == 303
    assert "the token was not ended" in words(panel.get("maker", PAGE))
    assert len(tokens["maker"]) == 2


def test_more_tokens_than_are_listed(panel: PanelService, tokens: Any) -> None:
    panel.hub.has_more = True
    assert "The hub has older ones, which are not listed" in words(panel.get("maker", PAGE))


@pytest.fixture
def gpu(panel: PanelService, tokens: Any) -> Iterator[FakeHub]:
    """A second hub of the service, with a token of ``maker`` that has the same id as one at the main hub."""

    async def start() -> FakeHub:
        return FakeHub()

    async def stop(hub: FakeHub, api: HubApiClient) -> None:
        hub.server.stop()
        await hub.server.close_all_connections()
        await api.close()

    hub, context = panel.run(start()), panel.driver.context
    hub.user_tokens = {"maker": [token(7, "training at gpu"), token(3, "older")], "boss": [token(9, "of boss")]}
    api, hubs = HubApiClient(hub.url, "aizen", 20.0), context.hubs
    object.__setattr__(context, "hubs", (*hubs, HubConnection("gpu", "secret of gpu", api)))
    yield hub
    object.__setattr__(context, "hubs", hubs)
    panel.run(stop(hub, api))


@pytest.mark.proves("R146")
def test_tokens_of_every_hub_are_listed_and_ended_where_they_are(
    panel: PanelService, tokens: Any, gpu: FakeHub
) -> None:
    panel.sign_in_again("maker")
    content = words(panel.get("maker", PAGE))
    for text in ("nightly export", "training at gpu", "at gpu"):
        assert text in content, text
    assert "of boss" not in content
    assert post(panel, "maker", "me/hub-tokens/end", token="a7", hub="gpu").status == 303
    assert [entry["id"] for entry in gpu.user_tokens["maker"]] == ["a3"]
    assert [entry["id"] for entry in tokens["maker"]] == ["a7", "a8"], "the main hub's has the same id"
    assert gpu.secrets == {"Bearer secret of gpu"}
    assert post(panel, "maker", "me/hub-tokens/end", token="a7", hub="lab").status == 404
    gpu.is_away = True
    content = words(panel.get("maker", PAGE))
    assert "The hub gpu does not answer now" in content
    assert "nightly export" in content


@pytest.mark.needs("browser", "axe")
def test_the_page(browser: PanelBrowser, panel: PanelService, tokens: Any) -> None:
    panel.sign_in_again("maker")
    browser.check(PAGE, "maker")
