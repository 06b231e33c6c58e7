"""What is stopped: listed, restored after a recent sign-in with a reason, or given an end."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.sessions import locks
from aizen_hub.commands.result import to_json_value
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of
from tests.service.panel.projects.objects import hidden_fields


def seed(tx: WriteTransaction) -> None:
    locks.lock_target(tx, LockTarget.IDENTITY, "user:eve", reason="stolen laptop")
    locks.lock_target(tx, LockTarget.IDENTITY, "user:rob", reason="on leave")
    locks.lock_target(tx, LockTarget.PROJECT, "p2", reason="frozen")


def lock_of(panel: PanelService, name: str) -> tuple[int, str | None] | None:
    with panel.store.read() as tx:
        row = tx.conn.execute(tables.locks.select().where(tables.locks.c.name == name)).first()
        return None if row is None else (row.id, row.ends and f"{row.ends:%Y-%m-%d}")


@pytest.mark.proves("R78", "R77", "R145")
def test_access_is_restored_after_a_recent_sign_in_with_a_reason(panel: PanelService) -> None:
    """`boss` has no right in `p1`; `eve` is its executor."""
    found = lock_of(panel, "user:eve")
    assert found is not None
    page = f"locks/{found[0]}"
    shown = panel.get("boss", page)
    assert "PROJECT_EXECUTOR" in shown
    assert "stolen laptop" in shown
    assert 'id="aizen-sign-in-again"' in shown
    with panel.store.read() as tx:
        locked = to_json_value(locks.get_lock(tx, LockTarget.IDENTITY, "user:eve").locked)
    unproven = {"reason": "found it", "until": "", "locked": locked}
    assert panel.post("boss", f"{page}/remove", unproven).status == 403
    panel.sign_in_again("boss")
    content = panel.get("boss", page)
    assert 'id="aizen-unlock"' in content
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, "user:eve", reason="incident"))
    refused = panel.post("boss", f"{page}/remove", {"reason": "found it", "until": "", **hidden_fields(content)})
    assert refused.status == 412, "it is another lock than the page showed"
    shown = hidden_fields(panel.get("boss", page))
    assert panel.post("boss", f"{page}/remove", {"reason": "", "until": ""}).status == 422
    done = panel.post("boss", f"{page}/remove", {"reason": "found it", "until": "", **shown})
    assert (done.status, done.headers["Location"]) == (303, "/services/aizen/locks")
    assert "The stop is lifted." in panel.get("boss", "locks")
    assert panel.run(panel.window("boss").get(page)).status == 404
    panel.run(panel.driver.open("eve", "p1"))


@pytest.mark.proves("R78")
def test_a_stop_gets_an_end(panel: PanelService) -> None:
    panel.sign_in_again("boss")
    found = lock_of(panel, "user:rob")
    assert found is not None
    page = f"locks/{found[0]}"
    fields = {"reason": "back then", **hidden_fields(panel.get("boss", page))}
    bad = panel.post("boss", f"{page}/remove", {**fields, "until": "soon"})
    assert bad.status == 422
    assert panel.post("boss", f"{page}/remove", {**fields, "until": "2099-01-31"}).status == 303
    assert lock_of(panel, "user:rob") == (found[0], "2099-02-01")


def test_everything_that_is_stopped_is_listed(panel: PanelService) -> None:
    page = text_of(panel.get("boss", "locks"))
    assert "project p2 frozen" in page.replace("  ", " ")
    assert "on leave" in page


@pytest.mark.parametrize("viewer", ["ada", "eve"])
def test_others_neither_see_nor_lift_it(panel: PanelService, viewer: str) -> None:
    found = lock_of(panel, "p2")
    assert found is not None
    for page in ("locks", f"locks/{found[0]}"):
        assert panel.run(panel.window(viewer).get(page)).status == 403
    assert panel.post(viewer, f"locks/{found[0]}/remove", {"reason": "x"}).status == 403
    assert lock_of(panel, "p2") == found
