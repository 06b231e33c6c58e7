"""Truncated lists on the panel's pages."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.roles import access_requests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel import approvals, home, sessions
from aizen_hub.store.actor import Actor, Channel
from tests.service.conftest import Driver
from tests.service.panel.window import Window

TRUNCATED = b"Only the first 1 are shown."


@pytest.mark.parametrize(
    ("module", "name", "page", "user"),
    [
        (sessions, "_MAX_ROWS", "sessions", "boss"),
        (approvals, "_MAX_ROWS", "pending", "ada"),
        (home, "_MAX_REQUESTS", "", "nil"),
    ],
    ids=["sessions", "pending", "home"],
)
async def test_the_page_says_that_a_list_is_truncated(
    window: Window,
    hub_service: Driver,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    page: str,
    user: str,
) -> None:
    for owner in ("ada", "eve"):
        await hub_service.open(owner)
    with hub_service.context.store.write(Actor(Identity.user("nil"), Channel.PANEL)) as tx:
        for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
            access_requests.request_access(tx, role, "p1")
    await window.sign_in(user)
    assert b"Only the first" not in (await window.get(page)).body
    monkeypatch.setattr(module, name, 1)
    truncated = await window.get(page)
    assert truncated.status == 200
    assert truncated.body.count(TRUNCATED) == 1
