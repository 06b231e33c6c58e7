"""Groups and service accounts are stopped from their pages, with a preview, and restored."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.identity_rows import find_lock
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService

TEAM, NIGHTLY = Identity.group("team"), Identity.service_account("nightly")
PAGES = (("groups/team", TEAM), ("service-accounts/nightly", NIGHTLY))


def seed(tx: WriteTransaction) -> None:
    management.create_group(tx, "team")
    membership.add_member(tx, "team", Identity.user("nil"))
    accounts.create_service_account(tx, "nightly")
    for holder in (TEAM, NIGHTLY):
        assignments.grant_roles(tx, ["PROJECT_READER"], "p1", holder, reason="test")


def is_stopped(panel: PanelService, identity: Identity) -> bool:
    with panel.store.read() as tx:
        return find_lock(tx, identity) is not None


def toast_of(page: str) -> str:
    found = re.search(r'<div class="az-toast".*?</div>', page, re.DOTALL)
    return found.group() if found else ""


@pytest.mark.proves("R78")
@pytest.mark.parametrize(("path", "identity"), PAGES)
def test_a_stop_is_previewed_made_and_undone(panel: PanelService, path: str, identity: Identity) -> None:
    panel.sign_in_again("boss")
    assert f"{path}/stop" in panel.get("boss", path)
    if identity == TEAM:
        panel.run(panel.driver.open("nil"))
        assert "1 server session of people in it ends" in panel.get("boss", f"{path}/stop")
        assert "PROJECT_READER in p1" in panel.get("boss", f"{path}/stop")
    assert panel.post("boss", f"{path}/stop", {"reason": " "}).status == 422
    assert not is_stopped(panel, identity)
    assert panel.post("boss", f"{path}/stop", {"reason": "a leak", "duration": "1d"}).status == 303
    assert is_stopped(panel, identity)
    page = panel.get("boss", path)
    ended = 1 if identity == TEAM else 0
    assert f"{identity.name} is stopped; {ended} session{'' if ended == 1 else 's'} ended." in page
    assert "a leak" in page
    assert re.search(r'href="[^"]*locks/\d+"', page), "the way to restore it"
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', toast_of(page) or page)
    assert undo is not None
    assert panel.post("boss", "undo", {"undo": undo[1], "back": ""}).status == 303
    assert not is_stopped(panel, identity)


@pytest.mark.proves("R72")
@pytest.mark.parametrize("user", ["ada", "nil"])
@pytest.mark.parametrize(("path", "identity"), PAGES)
def test_others_find_no_such_page(panel: PanelService, path: str, identity: Identity, user: str) -> None:
    assert panel.run(panel.window(user).get(f"{path}/stop")).status == 404
    assert panel.post(user, f"{path}/stop", {"reason": "mine"}).status in (403, 404)
    assert not is_stopped(panel, identity)


@pytest.mark.proves("R78")
def test_a_later_stop_is_not_undone(panel: PanelService) -> None:
    """Neither one that is set within the ten minutes, nor the one that a second stop made longer."""
    panel.sign_in_again("boss")
    panel.post("boss", "groups/team/stop", {"reason": "a leak", "duration": "1d"})
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', toast_of(panel.get("boss", "groups/team")))
    assert undo is not None
    panel.write("boss", lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, str(TEAM), reason="incident"))
    assert panel.post("boss", "undo", {"undo": undo[1], "back": ""}).status == 412
    assert is_stopped(panel, TEAM)
    panel.post("boss", "groups/team/stop", {"reason": "longer", "duration": "7d"})
    assert 'name="undo"' not in toast_of(panel.get("boss", "groups/team"))
