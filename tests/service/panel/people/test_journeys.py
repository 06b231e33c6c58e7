"""People in Chromium: an import of two thousand, search as one types, and a new member of a group."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelPage, PanelService

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp " + "w" * 900


def seed(tx: WriteTransaction) -> None:
    management.create_group(tx, "team", description="for the figures")
    assignments.grant_roles(tx, ["PROJECT_READER"], "p2", Identity.group("team"))
    membership.add_member(tx, "team", Identity.user("rob"))
    profiles.write_profile(tx, "rob", display_name="Rob Sandoval", email=None, phone=None, alerts=None)
    registration.create_user(tx, "hostile", provider="lab")
    profiles.write_profile(tx, "hostile", display_name=HOSTILE, email=None, phone=None, alerts=None)
    locks.lock_target(tx, LockTarget.IDENTITY, "user:eve", reason="x" * 200)


def press(page: PanelPage, name: str | re.Pattern[str], role: Any = "button") -> None:
    page.page.get_by_role(role, name=name).first.click()


def test_two_thousand_people_are_imported_with_a_preview_and_found(browser: PanelBrowser, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    rows = [f"p{number},Person {number},p{number}@acme.example,lab" for number in range(2_000)]
    file.write_text("\n".join(["login,name,mail,provider", *rows, "rob,Rob,,", "not a login,,,"]), encoding="utf-8")
    page = browser.open("people/-/import", "boss")
    page.page.set_input_files("input[type=file]", file)
    page.page.wait_for_function("document.getElementById('table').value.includes('p1999')")
    press(page, "Preview")
    page.page.wait_for_url("**/people/-/import/preview")
    assert "2,000 new, 1 registered already, 1 with a fault." in page.page.inner_text("main")
    press(page, "Register 2,000 people")
    page.page.get_by_text("2,000 people are registered.").wait_for(timeout=180_000)
    press(page, "To the people", "link")
    page.page.wait_for_url("**/people")
    assert page.complaints == []

    # As one types, the list and the address follow.
    page.page.get_by_label("Name, login or mail").press_sequentially("p199")
    page.page.wait_for_url("**/people?q=p199*")
    page.page.get_by_text("11 people", exact=True).wait_for()
    page.page.get_by_role("link", name=re.compile("Person 1990")).click()
    page.page.wait_for_url("**/people/p1990")
    page.page.go_back()
    page.page.get_by_text("11 people", exact=True).wait_for()
    page.page.get_by_label("State").select_option("stopped")
    page.page.get_by_text("No person has this name").wait_for()
    press(page, "Show everyone", "link")
    page.page.get_by_text(re.compile(r"1.25 of 2,0\d\d people")).wait_for()
    press(page, "Next", "link")
    page.page.get_by_text(re.compile(r"26.50 of 2,0\d\d people")).wait_for()
    assert page.complaints == []


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no-script"])
def test_a_group_gets_a_member_after_a_preview(browser: PanelBrowser, panel: PanelService, javascript: bool) -> None:
    panel.write("boss", _clear_team)
    page = browser.open("groups/team", "boss", javascript=javascript)
    page.page.get_by_label("Who").fill("hostile")
    press(page, "Show what they get")
    page.page.wait_for_url("**/groups/team/members")
    assert "1 person, with those in groups" in page.page.inner_text("main")
    press(page, "Add 1 to team")
    page.page.wait_for_url("**/groups/team")
    assert "1 member was added to team." in page.page.inner_text(".az-toast")
    press(page, "Undo")
    page.page.get_by_text("Undone: added 1 to team.").wait_for()
    assert "hostile" not in page.open("groups/team").page.inner_text("#members")


def _clear_team(tx: WriteTransaction) -> None:
    """Let the group give nothing, so that `boss` may add to it."""
    assignments.unauthorized_delete_assignment(tx, "PROJECT_READER", "p2", Identity.group("team"))
