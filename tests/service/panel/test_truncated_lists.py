"""Truncated lists on the panel's pages."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from aizen_hub.accounts.roles import access_requests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.decisions import requests
from aizen_hub.service.panel.mine import access, sessions
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.service.conftest import Driver
from tests.service.panel.window import Window

TRUNCATED = b"Only the first 1 are shown."


@pytest.mark.parametrize(
    ("module", "name", "page", "user"),
    [
        (sessions, "_MAX_JOBS", "me/sessions", "eve"),
        (requests, "_MAX_ROWS", "requests", "ada"),
        (access, "_MAX_REQUESTS", "me", "nil"),
    ],
    ids=["acting", "pending", "access"],
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
    with hub_service.context.store.write(Actor(Identity.user("nil"), Channel.PANEL)) as tx:
        for number in range(2):
            values = {"user": "eve", "project": "p1", "command": "start training x", "key": "training x"}
            tx.conn.execute(
                insert(tables.jobs).values(
                    decision_id=f"d{number}", acting="service-account:robot", started=tx.now, **values
                )
            )
        for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
            access_requests.request_access(tx, role, "p1")
    await window.sign_in(user)
    assert b"Only the first" not in (await window.get(page)).body
    monkeypatch.setattr(module, name, 1)
    truncated = await window.get(page)
    assert truncated.status == 200
    assert truncated.body.count(TRUNCATED) == 1
