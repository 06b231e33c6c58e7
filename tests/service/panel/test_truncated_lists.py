"""Lists of the panel that are cut say so on the page."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel import approvals as waiting
from aizen_hub.service.panel import home
from aizen_hub.service.panel import sessions as people
from aizen_hub.store.actor import Actor, Road
from tests.service.conftest import Driver
from tests.service.panel.window import Window

CUT = b"These are the first 1 of more."


@pytest.mark.parametrize(
    ("module", "name", "page", "who"),
    [(people, "_MOST", "sessions", "boss"), (waiting, "_SHOWN", "waiting", "ada"), (home, "_REQUESTS", "", "nil")],
    ids=["sessions", "waiting", "home"],
)
async def test_the_page_says_where_a_list_is_cut(
    window: Window, whole: Driver, monkeypatch: pytest.MonkeyPatch, module: object, name: str, page: str, who: str
) -> None:
    for user in ("ada", "eve"):
        await whole.open(user)
    with whole.house.store.write(Actor(Identity.user("nil"), Road.PANEL)) as tx:
        for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
            requests.ask(tx, role, "p1")
    await window.sign_in(who)
    assert b"of more" not in (await window.get(page)).body
    monkeypatch.setattr(module, name, 1)
    cut = await window.get(page)
    assert cut.status == 200
    assert cut.body.count(CUT) == 1
