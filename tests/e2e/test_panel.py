"""The panel in a real browser at a real hub: confirmation, activation, requests, stopping a user, second factor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyotp
import pytest

from tests.fixtures.hub import HubHandle, running_hub

if TYPE_CHECKING:
    from tests.fixtures.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser"), pytest.mark.slow]

NEW_PASSWORD = "four unrelated words of mine"
PANEL = "/services/aizen/"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("erin"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("bob"), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"alice": "AIZEN_ADMIN", "erin": "", "bob": "", "carol": "", "erwin": ""}
    with running_hub(tmp_path_factory.mktemp("p"), accounts=accounts, seed=seed, fake_servers=("bob",)) as running:
        yield running


@pytest.mark.proves("R77", "R115", "R118")
def test_from_an_added_user_to_their_first_sign_in(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    """A change from a notebook is pending; after re-authentication it is confirmed, and the new user signs in."""
    notebook = hub.login("alice")
    with hub.kernel(notebook, hub.spawn(notebook, "")) as kernel:
        entry = {"id": "dora", "roles": ["AIZEN_ADMIN"], "email": "dora@example.test"}
        kernel.execute(f"import pathlib; pathlib.Path('new.json').write_text({json.dumps(json.dumps([entry]))})")
        assert "waiting for confirmation" in kernel.execute("add users ./new.json").text
    notebook.stop()

    alice = person()
    alice.page.goto(PANEL + "pending")
    alice.login("alice", hub.passwords["alice"])
    alice.page.click("#aizen-changes a")
    assert "add users" in alice.page.inner_text("#aizen-change")
    effect = alice.page.inner_text("#aizen-effect")
    assert "dora" in effect
    assert "AIZEN_ADMIN" in effect
    assert "manage" not in effect, "permissions only on request"
    alice.page.click("#aizen-permissions summary")
    assert "manage:*" in alice.page.inner_text("#aizen-permissions")
    assert alice.page.locator("#aizen-confirm").count() == 0, "the change needs re-authentication"
    change = alice.page.url
    alice.page.click("#aizen-sign-in-again")
    alice.reauthenticate("not my password at all")
    assert "not right" in alice.page.inner_text("#aizen-error")
    alice.reauthenticate(hub.passwords["alice"])
    alice.page.wait_for_url(change)
    alice.page.click("#aizen-confirm")
    assert "Registered 1 user." in alice.page.inner_text("#aizen-confirmed")
    link = alice.page.inner_text("td.aizen-secret")

    dora = person()
    dora.page.goto("/hub/login")
    dora.login("dora", NEW_PASSWORD)
    assert "Invalid username or password" in dora.page.inner_text(".login_error")
    dora.page.goto(link)
    dora.page.fill("#password", NEW_PASSWORD)
    dora.page.fill("#repeated", NEW_PASSWORD)
    dora.page.click("button[type=submit]")
    dora.page.wait_for_selector("#outcome:has-text('active')")
    dora.page.goto(PANEL)
    dora.login("dora", NEW_PASSWORD)
    dora.page.wait_for_url("**" + PANEL)
    assert "AIZEN_ADMIN" in dora.visible_text()


def test_access_is_shown_and_requested(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    bob = person()
    bob.page.goto(PANEL)
    bob.login("bob", hub.passwords["bob"])
    bob.page.wait_for_url("**" + PANEL)
    assert "PROJECT_EXECUTOR" in bob.visible_text()
    bob.page.click("main button:has-text('Send request')")
    assert bob.page.locator("#role:invalid").count() == 1, "the form as it is asks for nothing"
    assert "done=" not in bob.page.url
    bob.page.fill("#scope", "churn")
    bob.page.select_option("#role", "PROJECT_ADMIN")
    bob.page.fill("#reason", "<script>alert(1)</script>")
    bob.page.click("main button:has-text('Send request')")
    bob.page.wait_for_url("**?done=requested")
    erin = person()
    erin.page.goto(PANEL + "pending")
    erin.login("erin", hub.passwords["erin"])
    assert "<script>alert(1)</script>" in erin.page.inner_text("#aizen-requests")
    erin.page.click("#aizen-requests button:has-text('Approve')")
    erin.page.wait_for_url("**?done=approved")
    bob.page.goto(PANEL)
    assert "PROJECT_ADMIN" in bob.page.inner_text("main section")


@pytest.mark.proves("R78")
def test_one_button_stops_a_user_everywhere(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    bob = hub.login("bob")
    hub.spawn(bob, "churn")
    token = bob.api("POST", "/hub/api/users/bob/tokens", {"note": "test", "expires_in": 600}).json()["token"]
    window = person()
    window.page.goto(PANEL)
    window.login("bob", hub.passwords["bob"])
    window.page.wait_for_url("**" + PANEL)

    alice = person()
    alice.page.goto(PANEL + "sessions")
    alice.login("alice", hub.passwords["alice"])
    assert "bob" in alice.page.inner_text("#aizen-sessions")
    alice.page.fill("#stop-user", "bob")
    alice.page.fill("#stop-reason", "a stolen laptop")
    alice.page.click("#aizen-preview-stop")
    assert "churn" in alice.page.inner_text("#aizen-ends"), "what it ends is shown before"
    assert "/hub/login" not in bob.get("/hub/home").url
    alice.page.click("#aizen-stop")
    outcome = alice.page.inner_text("#aizen-outcome")
    assert "1 sessions ended, 1 servers stopped" in outcome
    from aizen_hub.demo.browser import Browser

    assert Browser(hub.url).get("/hub/api/user", Authorization=f"token {token}").status == 403
    assert "/hub/login" in bob.get("/hub/home").url
    window.page.goto(PANEL)
    window.page.wait_for_selector("#username_input")
    window.login("bob", hub.passwords["bob"])
    assert "locked" in window.visible_text()
    assert "a stolen laptop" in alice.page.inner_text("#aizen-locked")
    # Undone by alice, who holds none of bob's rights, after signing in again, with a reason, seeing what returns.
    alice.page.click("#aizen-undo")
    assert "PROJECT_EXECUTOR" in alice.page.inner_text("#aizen-returns")
    assert alice.page.locator("#aizen-unlock").count() == 0
    lock_page = alice.page.url
    alice.page.click("#aizen-sign-in-again")
    alice.reauthenticate(hub.passwords["alice"])
    alice.page.wait_for_url(lock_page)
    alice.page.fill("#unlock-reason", "the laptop was found")
    alice.page.click("#aizen-unlock")
    alice.page.wait_for_url("**?done=unlocked")
    again = person()
    again.login("bob", hub.passwords["bob"])
    again.page.goto(PANEL)
    assert "PROJECT_EXECUTOR" in again.visible_text() or "PROJECT_ADMIN" in again.visible_text()


def wait_until_signed_out(person: BrowserUser) -> None:
    """Wait until a change of the login methods has reached the hub."""
    for _ in range(60):
        person.page.goto(PANEL + "account")
        if person.page.locator("#username_input").count():
            return
        person.page.wait_for_timeout(250)
    raise AssertionError("still signed in")


def test_a_second_factor_and_another_password(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    carol = person()
    carol.page.goto(PANEL + "account")
    carol.login("carol", hub.passwords["carol"])
    carol.page.fill("#current", hub.passwords["carol"])
    carol.page.fill("#password", NEW_PASSWORD)
    carol.page.fill("#repeated", NEW_PASSWORD)
    carol.page.click("#aizen-password")
    wait_until_signed_out(carol)
    carol.login("carol", NEW_PASSWORD)
    carol.page.click("#aizen-sign-in-again")
    carol.reauthenticate(NEW_PASSWORD)
    carol.page.wait_for_url("**/account")
    carol.page.click("#aizen-codes")
    codes = pyotp.TOTP(carol.page.inner_text("#aizen-totp"))
    carol.page.fill("#code", codes.now())
    carol.page.click("main button:has-text('Enable')")
    carol.page.wait_for_url("**?done=on")
    assert "signed out everywhere" in carol.visible_text()
    wait_until_signed_out(carol)
    other = person()
    other.login("carol", NEW_PASSWORD)
    assert "Invalid username or password" in other.page.inner_text(".login_error"), "without a code"
    other.page.fill("#otp_input", codes.at(time.time() + 30))
    other.login("carol", NEW_PASSWORD)
    other.page.wait_for_url("**/hub/**")
    assert other.page.locator("#username_input").count() == 0
