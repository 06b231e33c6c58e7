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
    from tests.fixtures.browser.pages import BrowserUser

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
    alice.page.goto(PANEL + "requests")
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
    assert "is wrong" in alice.page.inner_text("#aizen-error")
    alice.reauthenticate(hub.passwords["alice"])
    alice.page.wait_for_url(change)
    alice.page.click("#aizen-confirm")
    assert "Registered 1 user." in alice.page.inner_text("#aizen-confirmed")
    link = alice.page.inner_text("code.aizen-secret")

    dora = person()
    dora.page.goto("/hub/login")
    dora.login("dora", NEW_PASSWORD)
    assert "Invalid username or password" in dora.page.inner_text(".login_error")
    dora.page.goto(link)
    dora.page.fill("#password", NEW_PASSWORD)
    dora.page.fill("#repeated", NEW_PASSWORD)
    dora.page.click("button[type=submit]")
    dora.page.wait_for_selector("#outcome:has-text('active')")
    dora.page.goto(PANEL + "me")
    dora.login("dora", NEW_PASSWORD)
    dora.page.wait_for_url("**" + PANEL + "me")
    assert "AIZEN_ADMIN" in dora.visible_text()


def test_access_is_shown_and_requested(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    bob = person()
    bob.page.goto(PANEL + "me")
    bob.login("bob", hub.passwords["bob"])
    bob.page.wait_for_url("**" + PANEL + "me")
    assert "PROJECT_EXECUTOR" in bob.visible_text()
    bob.page.click("main button:has-text('Send request')")
    assert bob.page.locator("#role:invalid").count() == 1, "the form as it is asks for nothing"
    assert bob.page.url.endswith("/me")
    bob.page.fill("#project", "churn")
    bob.page.select_option("#role", "PROJECT_ADMIN")
    bob.page.fill("#because", "<script>alert(1)</script>")
    bob.page.click("main button:has-text('Send request')")
    bob.page.wait_for_selector(".az-toast:has-text('Your request was sent')")
    erin = person()
    erin.page.goto(PANEL + "requests")
    erin.login("erin", hub.passwords["erin"])
    assert "<script>alert(1)</script>" in erin.page.inner_text("#aizen-requests")
    erin.page.click("#aizen-requests a:has-text('Review')")
    erin.page.click("#aizen-approve")
    erin.page.wait_for_selector(".az-toast:has-text('Approved')")
    bob.page.goto(PANEL + "me")
    assert "PROJECT_ADMIN" in bob.page.inner_text("main section")


@pytest.mark.proves("R78")
def test_one_button_stops_a_user_everywhere(hub: HubHandle, person: Callable[[], BrowserUser]) -> None:
    bob = hub.login("bob")
    hub.spawn(bob, "churn")
    token = bob.api("POST", "/hub/api/users/bob/tokens", {"note": "test", "expires_in": 600}).json()["token"]
    window = person()
    window.page.goto(PANEL + "me")
    window.login("bob", hub.passwords["bob"])
    window.page.wait_for_url("**" + PANEL + "me")

    alice = person()
    alice.page.goto(PANEL + "people/bob/stop")
    alice.login("alice", hub.passwords["alice"])
    preview = alice.page.inner_text("main")
    assert "1 server closes" in preview, "what it ends is shown before"
    assert "churn" in preview
    assert "/hub/login" not in bob.get("/hub/home").url
    alice.page.fill("#reason", "a stolen laptop")
    alice.page.click("text=Stop bob")
    alice.page.wait_for_url("**" + PANEL + "people/bob")
    outcome = alice.page.inner_text(".az-toast")
    assert "1 session ended, 1 server stopped" in outcome
    from aizen_hub.demo.browser import Browser

    assert Browser(hub.url).get("/hub/api/user", Authorization=f"token {token}").status == 403
    assert "/hub/login" in bob.get("/hub/home").url
    window.page.goto(PANEL)
    window.page.wait_for_selector("#username_input")
    window.login("bob", hub.passwords["bob"])
    window.page.wait_for_selector("text=locked")
    # Restored by alice, who holds none of bob's rights, after signing in again, with a reason, seeing what returns.
    alice.page.goto(PANEL + "locks")
    assert "a stolen laptop" in alice.page.inner_text("main table")
    alice.page.click("text=Restore…")
    assert "PROJECT_EXECUTOR" in alice.page.inner_text("#aizen-returns")
    assert alice.page.locator("#aizen-unlock").count() == 0
    lock_page = alice.page.url
    alice.page.click("#aizen-sign-in-again")
    alice.reauthenticate(hub.passwords["alice"])
    alice.page.wait_for_url(lock_page)
    alice.page.fill("#reason", "the laptop was found")
    alice.page.click("#aizen-unlock")
    alice.page.wait_for_selector(".az-toast:has-text('The stop is lifted')")
    again = person()
    again.page.goto(PANEL + "me")
    again.login("bob", hub.passwords["bob"])
    again.page.wait_for_url("**" + PANEL + "me")
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
    carol.page.wait_for_selector("#aizen-recovery")
    recovery = carol.page.locator("#aizen-recovery code").all_inner_texts()
    assert "signed out everywhere" in carol.visible_text()
    wait_until_signed_out(carol)
    other = person()
    other.login("carol", NEW_PASSWORD)
    assert "Invalid username or password" in other.page.inner_text(".login_error"), "without a code"
    other.page.fill("#otp_input", codes.at(time.time() + 30))
    other.login("carol", NEW_PASSWORD)
    other.page.wait_for_url("**/hub/**")
    assert other.page.locator("#username_input").count() == 0
    phoneless = person()
    phoneless.page.goto("/hub/login")
    phoneless.page.fill("#otp_input", recovery[0])
    phoneless.login("carol", NEW_PASSWORD)
    phoneless.page.wait_for_url("**/hub/**")
    assert phoneless.page.locator("#username_input").count() == 0, "a recovery code replaces the lost phone"
