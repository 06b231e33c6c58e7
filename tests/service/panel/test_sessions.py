"""The page of sessions and locks: stopping a user with a preview and an undo, unlocking, lost passwords."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from aizen_hub.accounts.credentials import mailed_links
from aizen_hub.commands.result import message_result
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel import sessions
from aizen_hub.store import tables
from aizen_hub.tokens.opaque_token import hash_credential
from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def sign_in_again(hub_service: Driver, name: str) -> None:
    session = hash_credential(f"session-of-{name}")
    body = {"user": name, "provider": "local", "subject": name, "session": session}
    assert (await hub_service.hub("POST", "/login/recent", body)).status == 200


@pytest.mark.proves("R78", "R77", "R145")
async def test_a_stop_is_previewed_and_undone(window: Window, hub_service: Driver) -> None:
    """`boss` has no right in `p1`; `eve` is its executor."""
    await hub_service.open("eve")
    token = await window.sign_in("boss")
    page = await window.get("sessions/stop?user=EVE&reason=stolen+laptop")
    assert page.status == 200, page.body
    assert b"<td>session</td><td>default server</td><td>p1</td>" in page.body
    assert b'value="stolen laptop"' in page.body
    with hub_service.context.store.read() as tx:
        assert tx.rights(Identity.user("eve")).active_lock("p1", None, tx.now) is None, "nothing has happened yet"
    stopped = await window.post("sessions/stop", {"user": "eve", "reason": "stolen laptop", "xsrf": token})
    assert stopped.status == 200, stopped.body
    undo = re.search(rb'id="aizen-undo" href="/services/aizen/(locks/\d+)"', stopped.body)
    assert undo is not None
    lock_page = undo.group(1).decode()
    page = await window.get(lock_page)
    assert b"PROJECT_EXECUTOR" in page.body
    assert b"stolen laptop" in page.body
    assert b"aizen-sign-in-again" in page.body
    form = {"reason": "found it", "until": "", "xsrf": token}
    refused = await window.post(f"{lock_page}/remove", form)
    assert refused.status == 403
    await sign_in_again(hub_service, "boss")
    assert b"aizen-unlock" in (await window.get(lock_page)).body
    assert (await window.post(f"{lock_page}/remove", {**form, "reason": ""})).status == 400
    done = await window.post(f"{lock_page}/remove", form)
    assert (done.status, done.headers["Location"]) == (303, "/services/aizen/sessions?done=unlocked")
    assert b"The lock is lifted." in (await window.get("sessions?done=unlocked")).body
    assert (await window.get(lock_page)).status == 404
    await hub_service.open("eve")


@pytest.mark.proves("R78")
async def test_a_lock_gets_an_end_in_the_panel(window: Window, hub_service: Driver) -> None:
    token = await window.sign_in("boss")
    await window.post("sessions/stop", {"user": "eve", "reason": "on leave", "xsrf": token})
    with hub_service.context.store.read() as tx:
        lock = tx.conn.execute(tables.locks.select()).one()
    await sign_in_again(hub_service, "boss")
    form = {"reason": "back then", "until": "2099-01-31", "xsrf": token}
    assert (await window.post(f"locks/{lock.id}/remove", form)).status == 303
    with hub_service.context.store.read() as tx:
        assert f"{tx.conn.execute(tables.locks.select()).one().ends:%Y-%m-%d}" == "2099-02-01"


@pytest.mark.parametrize("page", ["sessions/stop?user=eve", "locks/1"])
async def test_others_neither_preview_nor_unlock(window: Window, hub_service: Driver, page: str) -> None:
    token = await window.sign_in("boss")
    await window.post("sessions/stop", {"user": "rob", "reason": "x", "xsrf": token})
    window.cookies.clear()
    token = await window.sign_in("ada")
    assert (await window.get(page)).status == 403
    assert (await window.post("locks/1/remove", {"reason": "x", "xsrf": token})).status == 403


@pytest.mark.parametrize("user", ["ghost", "boss"])
async def test_a_stop_that_is_impossible_is_refused_in_the_preview(window: Window, user: str) -> None:
    await window.sign_in("boss")
    page = await window.get(f"sessions/stop?user={user}")
    assert page.status == (404 if user == "ghost" else 409)


async def test_a_link_is_mailed_beyond_the_deadline_of_a_request(
    window: Window, hub_service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await window.sign_in("boss")
    mailed = asyncio.Event()

    async def send_slowly(*_: Any) -> None:
        await asyncio.sleep(hub_service.context.settings.service.deadline_seconds + 0.5)
        mailed.set()

    monkeypatch.setattr(sessions, "send_links", send_slowly)
    monkeypatch.setattr(mailed_links, "renew_link", lambda *_: message_result("sent an activation link", sent=True))
    page = await window.post("sessions/reset", {"user": "ada", "xsrf": token})
    assert (page.status, b"Sent an activation link" in page.body) == (200, True), page.body
    assert mailed.is_set()
