"""Undo: offered for ten minutes to who made the change, once, and authorized again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import assignments
from aizen_hub.commands.result import Result
from aizen_hub.problems import NotFound, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel import undo
from aizen_hub.service.panel.undo import offer_undo, undo_change
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX, Window

NIL = Identity.user("nil")
REVOKE = ("revoke", {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"})


def as_user(name: str) -> Actor:
    return Actor(Identity.user(name), Channel.PANEL)


def give(driver: Driver, name: str = "ada") -> str:
    with driver.context.store.write(as_user(name)) as tx:
        assignments.grant_roles(tx, ["PROJECT_READER"], "p1", NIL, reason="test")
        return offer_undo(tx, "gave nil PROJECT_READER in p1", [REVOKE])


def holds(driver: Driver) -> bool:
    with driver.context.store.read() as tx:
        return bool(tx.rights(NIL).held_roles)


async def test_a_change_is_undone_once_and_recorded(window: Window, hub_service: Driver) -> None:
    undo_id = give(hub_service)
    token = await window.sign_in("ada", "me")
    form = {"undo": undo_id, "back": f"http://panel.example{PREFIX}requests?x=1", "xsrf": token}
    undone = await window.post("undo", form)
    assert (undone.status, undone.headers["Location"]) == (303, f"{PREFIX}requests?x=1")
    assert not holds(hub_service)
    assert b"Undone: gave nil PROJECT_READER in p1." in (await window.get("requests")).body
    again = await window.post("undo", form)
    assert again.status == 404
    assert b"cannot be undone any more" in again.body
    with hub_service.context.store.read() as tx:
        bodies = tx.conn.execute(tables.audit.select().where(tables.audit.c.event == "change.undone")).all()
    assert len(bodies) == 1


@pytest.mark.parametrize(
    "back", ["", "https://evil.example/", "/hub/home", "javascript:alert(1)", "\\\\x", "//[", f"{PREFIX}../../hub"]
)
async def test_the_way_back_stays_in_the_panel(window: Window, hub_service: Driver, back: str) -> None:
    token = await window.sign_in("ada", "me")
    undone = await window.post("undo", {"undo": give(hub_service), "back": back, "xsrf": token})
    assert (undone.status, undone.headers["Location"]) == (303, PREFIX)


async def test_only_the_user_who_made_a_change_undoes_it(hub_service: Driver) -> None:
    undo_id = give(hub_service)
    with pytest.raises(NotFound), hub_service.context.store.write(as_user("boss")) as tx:
        undo_change(tx, undo_id)
    assert holds(hub_service)


async def test_an_offer_ends(hub_service: Driver) -> None:
    undo_id = give(hub_service)
    store = hub_service.context.store
    with store.write(as_user("ada")) as tx:
        tx.conn.execute(update(tables.undo_records).values(expires=tx.now - timedelta(seconds=1)))
    with pytest.raises(NotFound), store.write(as_user("ada")) as tx:
        undo_change(tx, undo_id)
    with store.write(as_user("ada")) as tx:
        offer_undo(tx, "x", [REVOKE])
        assert [row.label for row in tx.conn.execute(tables.undo_records.select())] == ["x"], "old ones are deleted"


async def test_an_undo_is_authorized_again_and_all_or_nothing(hub_service: Driver) -> None:
    """`ada` lost her role in the meantime; and a second step that fails keeps the first one from being done."""
    store = hub_service.context.store
    with store.write(as_user("ada")) as tx:
        assignments.grant_roles(tx, ["PROJECT_READER"], "p1", NIL, reason="test")
        undo_id = offer_undo(tx, "x", [REVOKE, ("revoke", {**REVOKE[1], "identity": "user:zoe"})])
    with pytest.raises(Problem), store.write(as_user("ada")) as tx:
        undo_change(tx, undo_id)
    assert holds(hub_service)
    with store.write(as_user("boss")) as tx:
        assignments.unauthorized_write_assignment(tx, "PROJECT_ADMIN", "p1", Identity.user("eve"), reason="test")
        assignments.unauthorized_delete_assignment(tx, "PROJECT_ADMIN", "p1", Identity.user("ada"), reason="test")
    with pytest.raises(Problem), store.write(as_user("ada")) as tx:
        undo_change(tx, undo_id)
    assert holds(hub_service)


@pytest.mark.parametrize("steps", [[], [("drop", {})], [REVOKE] * 1001])
async def test_what_cannot_be_undone_is_not_offered(
    hub_service: Driver, steps: list[tuple[str, dict[str, object]]]
) -> None:
    with pytest.raises(ValueError, match="cannot be undone"), hub_service.context.store.write(as_user("ada")) as tx:
        offer_undo(tx, "x", steps)


async def test_an_undo_that_waits_for_a_second_person_says_so(
    hub_service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(tx: WriteTransaction, arguments: Mapping[str, Any]) -> Result:
        return pending_changes.submit(tx, "revoke", dict(arguments), "revoke PROJECT_READER")

    monkeypatch.setitem(undo.UNDO_STEPS, "revoke", submit)  # type: ignore[arg-type]
    undo_id = give(hub_service)
    with hub_service.context.store.write(as_user("ada")) as tx:
        assert undo_change(tx, undo_id).endswith("; it takes effect when a second person confirms it")
