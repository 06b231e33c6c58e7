"""Stopping and restoring: the preview says what ends and what is kept, and who may not see it gets nothing."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.identity_rows import find_lock
from aizen_hub.service.panel.people import stopping
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of
from tests.service.panel.projects.objects import hidden_fields


def seed(tx: WriteTransaction) -> None:
    locks.lock_target(tx, LockTarget.IDENTITY, "user:rob", reason="Laptop reported stolen")
    for name in ("nightly", "weekly"):
        accounts.create_service_account(tx, name)
        rows = tables.service_accounts
        tx.conn.execute(rows.update().where(rows.c.name == name).values(controller="user:eve"))


def is_stopped(panel: PanelService, name: str) -> bool:
    with panel.store.read() as tx:
        return find_lock(tx, Identity.user(name)) is not None


def test_the_preview_lists_what_ends_and_what_is_kept(panel: PanelService) -> None:
    panel.run(panel.driver.open("eve", "p1", "gpu"))
    page = text_of(panel.get("boss", "people/eve/stop"))
    assert "1 server closes" in page
    assert "gpu in p1" in page
    assert "1 role PROJECT_EXECUTOR in p1" in page
    assert "eve cannot sign in" in page


def test_service_accounts_that_go_on_are_named_and_a_cut_is_said(
    panel: PanelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nightly , weekly belong to eve and work on" in text_of(panel.get("boss", "people/eve/stop"))
    monkeypatch.setattr(stopping, "_SHOWN_ACCOUNTS", 1)
    assert "nightly and more belong to eve and work on" in text_of(panel.get("boss", "people/eve/stop"))


def test_stopping_needs_a_reason_and_keeps_what_was_typed(panel: PanelService) -> None:
    response = panel.post("boss", "people/eve/stop", {"reason": " ", "duration": "7d"})
    assert response.status == 422
    page = response.body.decode()
    assert 'value="7d" checked' in page
    assert "say why" in text_of(page).lower()
    assert not is_stopped(panel, "eve")


def test_stopping_ends_sessions_and_restoring_gives_back(panel: PanelService) -> None:
    panel.sign_in_again("boss")
    panel.run(panel.driver.open("maker", None))
    response = panel.post("boss", "people/maker/stop", {"reason": "gave notice", "duration": "1d"})
    assert (response.status, response.headers["Location"]) == (303, "/services/aizen/people/maker")
    assert is_stopped(panel, "maker")
    page = text_of(panel.get("boss", "people/maker"))
    assert "maker is stopped; 1 session ended" in page, "the toast is in the words of the panel"
    assert "Stopped by boss" in page
    assert "gave notice" in page
    assert "Restore access…" in page
    content = panel.get("boss", "people/maker/restore")
    assert "1 server that was closed" in text_of(content)
    shown = hidden_fields(content)
    assert panel.post("boss", "people/maker/restore", {"reason": ""}).status == 422
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, "user:maker", reason="incident"))
    refused = panel.post("boss", "people/maker/restore", {"reason": "laptop found", **shown})
    assert refused.status == 412, "it is another lock than the page showed"
    shown = hidden_fields(panel.get("boss", "people/maker/restore"))
    assert panel.post("boss", "people/maker/restore", {"reason": "laptop found", **shown}).status == 303
    assert not is_stopped(panel, "maker")
    assert "maker can sign in again." in panel.get("boss", "people/maker")


@pytest.mark.proves("R78")
@pytest.mark.parametrize("name", ["maker", "MAKER"])
def test_a_stop_that_is_made_longer_is_not_undone(panel: PanelService, name: str) -> None:
    """To undo it would lift the stop that was there before."""
    panel.sign_in_again("boss")
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, "user:maker", reason="incident"))
    assert panel.post("boss", f"people/{name}/stop", {"reason": "longer", "duration": "7d"}).status == 303
    page = panel.get("boss", "people/maker")
    assert 'name="undo"' not in page
    lift = {"reason": "over", **hidden_fields(panel.get("boss", "people/maker/restore"))}
    assert panel.post("boss", "people/maker/restore", lift).status == 303


def test_the_last_admin_cannot_be_stopped_and_the_page_says_so(panel: PanelService) -> None:
    page = panel.get("boss", "people/ada/stop")
    assert "last PROJECT_ADMIN" in text_of(page)
    assert 'name="reason"' not in page


@pytest.mark.parametrize(("viewer", "person"), [("ada", "eve"), ("zoe", "zoe"), ("zoe", "eve")])
def test_others_are_refused_without_an_effect(panel: PanelService, viewer: str, person: str) -> None:
    page = panel.run(panel.window(viewer).get(f"people/{person}/stop"))
    assert 'name="reason"' not in page.body.decode()
    assert panel.post(viewer, f"people/{person}/stop", {"reason": "x"}).status in (403, 404)
    assert not is_stopped(panel, person)


def test_the_reason_of_a_stop_is_for_those_who_may_stop(panel: PanelService) -> None:
    assert "Laptop reported stolen" in text_of(panel.get("boss", "people/rob"))
    page = text_of(panel.get("ada", "people/rob"))
    assert "Stopped" in page
    assert "stolen" not in page


def test_nothing_is_restored_that_is_not_stopped(panel: PanelService) -> None:
    assert panel.run(panel.window("boss").get("people/eve/restore")).status == 404


@pytest.mark.proves("R72")
@pytest.mark.parametrize("page", ["people/eve/stop", "people/rob/restore", "people/eve/restore"])
def test_who_may_not_stop_does_not_read_the_previews(panel: PanelService, page: str) -> None:
    """They tell the last sign-in and the roles of every project."""
    assert panel.run(panel.window("ada").get(page)).status == 404
