"""The sessions of all users, for those who manage them."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import update

from aizen_hub.accounts.sessions.server_sessions import find_live_session
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import tables
from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_sessions_of_all_are_listed_found_and_ended(window: Window, hub_service: Driver) -> None:
    sessions = {user: await hub_service.open(user) for user in ("eve", "rob")}
    token = await window.sign_in("boss")
    for query, users in (("", {"eve", "rob"}), ("?q=ev", {"eve"}), ("?project=p2", set())):
        page = (await window.get(f"system/sessions{query}")).body.decode()
        ids = set(re.findall(r'name="session" value="([0-9a-f]+)"', page))
        assert ids == {sessions[user].id for user in users}
    assert (await window.post("system/sessions/end", {"session": sessions["eve"].id, "xsrf": token})).status == 303
    with hub_service.context.store.read() as tx:
        assert find_live_session(tx, sessions["eve"].id) is None


async def test_a_server_of_a_further_hub_is_named_with_it(window: Window, hub_service: Driver) -> None:
    session = await hub_service.open("eve")
    s = tables.sessions
    with hub_service.context.store.write(SERVICE_ACTOR) as tx:
        tx.conn.execute(update(s).where(s.c.id == session.id).values(hub="gpu"))
    await hub_service.open("eve")
    await window.sign_in("boss")
    for page in ("system/sessions", "people/eve/sessions", "people/eve/stop"):
        content = (await window.get(page)).body.decode()
        assert "default server at gpu" in content, page
        assert len(re.findall(r"default server(?! at)", content)) >= 1, page


@pytest.mark.parametrize("user", ["ada", "eve"])
async def test_others_do_not_see_them(window: Window, hub_service: Driver, user: str) -> None:
    session = await hub_service.open("rob")
    token = await window.sign_in(user)
    assert (await window.get("system/sessions")).status == 404
    assert (await window.post("system/sessions/end", {"session": session.id, "xsrf": token})).status == 403
