"""Page *My sessions*: only one's own, and each can be ended."""

from __future__ import annotations

import re

from sqlalchemy import insert

from aizen_hub.accounts.sessions.server_sessions import find_live_session
from aizen_hub.store import tables
from tests.service.conftest import OPERATOR, Driver
from tests.service.panel.window import Window


async def test_own_sessions_are_listed_and_ended(window: Window, hub_service: Driver) -> None:
    session, other = await hub_service.open("eve"), await hub_service.open("rob")
    token = await window.sign_in("eve", "me/sessions")
    page = (await window.get("me/sessions")).body.decode()
    assert re.findall(r'name="session" value="([0-9a-f]+)"', page) == [session.id]
    assert (await window.post("me/sessions/end", {"session": session.id, "xsrf": token})).status == 303
    assert (await window.post("me/sessions/end", {"session": other.id, "xsrf": token})).status == 403
    with hub_service.context.store.read() as tx:
        assert find_live_session(tx, session.id) is None
        assert find_live_session(tx, other.id) is not None


async def test_all_own_sessions_end_at_once(window: Window, hub_service: Driver) -> None:
    session, other = await hub_service.open("eve"), await hub_service.open("rob")
    token = await window.sign_in("eve")
    assert (await window.post("me/sessions/end", {"xsrf": token})).status == 303
    with hub_service.context.store.read() as tx:
        assert find_live_session(tx, session.id) is None
        assert find_live_session(tx, other.id) is not None


async def test_own_tokens_end_and_the_session_goes_on(window: Window, hub_service: Driver) -> None:
    session = await hub_service.open("eve")
    token = await window.sign_in("eve")
    assert (await hub_service.call("GET", "/api/v1/me", auth=session.auth)).status == 200
    assert (await window.post("me/tokens/end", {"xsrf": token})).status == 303
    assert (await hub_service.call("GET", "/api/v1/me", auth=session.auth)).status == 401
    with hub_service.context.store.read() as tx:
        assert find_live_session(tx, session.id) is not None


async def test_what_a_service_account_does_in_my_name(window: Window, hub_service: Driver) -> None:
    with hub_service.context.store.write(OPERATOR) as tx:
        values = {"user": "eve", "project": "p1", "session": None, "acting": "service-account:robot"}
        tx.conn.execute(
            insert(tables.jobs).values(
                decision_id="d1", command="start training night", key="training night", started=tx.now, **values
            )
        )
    await window.sign_in("eve")
    for address in ("me", "me/sessions"):
        page = (await window.get(address)).body.decode()
        assert "Done in my name" in page
        assert "service-account robot ran <code>start training night</code> in p1" in page
