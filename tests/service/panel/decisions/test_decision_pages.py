"""The pages of decisions in Chromium: by one click, by keyboard, without script, and filtered as one types."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts.reviews import lifecycle
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]
HOSTILE = "<b>bold</b> \u202egnp " + "x" * 300
IDS: dict[str, str] = {}


def seed(tx: WriteTransaction) -> None:
    service = tx.actor
    custom_roles.create_role(tx, "TRAINER", permissions=["execute:training"], scopes=["project"])
    tx.actor = Actor(Identity.user("rob"), Channel.PANEL)
    until = tx.now + timedelta(days=7)
    for role in ("PROJECT_EXECUTOR", "PROJECT_ADMIN"):
        made = access_requests.request_access(tx, role, "p1", reason=HOSTILE, until=until)
        IDS[role] = made.data["request"]
    tx.actor = Actor(Identity.user("boss"), Channel.CLI)
    held = assignments.grant_roles(tx, ["AIZEN_ADMIN"], None, Identity.user("zoe"), reason=HOSTILE)
    IDS["change"] = held.data["pending"]
    tx.actor = Actor(Identity.user("ada"), Channel.PANEL)
    IDS["review"] = lifecycle.start_review(tx, "p1", note=HOSTILE).id
    tx.actor = service


def test_from_a_refusal_by_one_click_to_the_end_of_the_access(browser: PanelBrowser, panel: PanelService) -> None:
    """An admin asks why, gives the least role for hours, sees it allowed, undoes it, and reads the audit of it."""
    opened = browser.open("why?who=rob&do=start+training&in=p1", "ada")
    page = opened.page
    assert page.inner_text(".az-verdict h2").startswith("No. rob may not")
    page.click("button:has-text('Give for 4 hours')")
    page.wait_for_selector(".az-verdict.ok")
    page.click(".az-toast button:has-text('Undo')")
    page.wait_for_selector(".az-verdict.no")
    page.click("nav >> text=Audit")
    page.wait_for_selector(".az-day")
    events = page.inner_text("#results")
    assert "ada gave rob" in events
    assert "ada took" in events
    assert "undone in the panel" in events
    assert opened.complaints == []


def test_a_request_is_denied_by_keyboard_alone(browser: PanelBrowser) -> None:
    opened = browser.open(f"requests/{IDS['PROJECT_EXECUTOR']}", "ada")
    page = opened.page
    page.focus("#comment")
    page.keyboard.type("Executor is not needed for this")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".az-toast:has-text('denied')")
    assert "Executor is not needed" in page.inner_text("#decided")
    assert opened.complaints == []


def test_a_review_without_script(browser: PanelBrowser) -> None:
    page = browser.open(f"reviews/{IDS['review']}", "ada", javascript=False).page
    page.select_option("#aizen-review select >> nth=0", index=1)
    page.click("#aizen-save")
    page.wait_for_selector("h2:has-text('1 of 2 decided')")
    page.click("button:has-text('Set missing ends')")
    page.wait_for_selector("h2:has-text('2 of 2 decided')")
    page.click("#aizen-preview")
    page.click("#aizen-carry-out")
    page.wait_for_selector("text=Finished by ada")
    page.click("button:has-text('Undo')")
    page.wait_for_selector("text=Undone")


def test_the_audit_is_filtered_as_one_types(browser: PanelBrowser) -> None:
    opened = browser.open("audit?when=all", "boss")
    page = opened.page
    page.fill("#who", "rob")
    page.fill("#q", "PROJECT_READER")
    page.wait_for_url("**q=PROJECT_READER*")
    page.wait_for_function("document.querySelectorAll('#results .az-event').length < 4")
    assert "PROJECT_READER" in page.inner_text("#results")
    assert opened.complaints == []
