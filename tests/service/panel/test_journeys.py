"""Whole journeys through the panel in Chromium, by clicking only: onboarding, a refusal to its end, the keyboard."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.window import PREFIX

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]

COMMAND = "start training weekly"
MAX_STOPS = 120


def press(page: Page, name: str | re.Pattern[str]) -> None:
    page.get_by_role("button", name=name).first.click()


def follow(page: Page, name: str | re.Pattern[str]) -> None:
    page.get_by_role("main").get_by_role("link", name=name).first.click()


def open_entry(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Aizen").get_by_role("link", name=re.compile(f"^{name}")).click()
    expect(page.locator("h1")).to_contain_text(name)


def ask_why(page: Page, name: str, verdict: str) -> None:
    """Ask from a person's page whether they may start a training in `p1`."""
    follow(page, "Ask why")
    expect(page.get_by_label("Who", exact=True)).to_have_value(name)
    page.get_by_label("Command", exact=True).fill("start training")
    page.get_by_label("Project", exact=True).fill("p1")
    press(page, re.compile("^Ask$"))
    expect(page.locator(".az-verdict h2")).to_have_text(f"{verdict} start training in p1.")


def test_an_admin_onboards_a_person_answers_why_stops_and_restores_and_reads_the_audit(
    browser: PanelBrowser, panel: PanelService
) -> None:
    panel.sign_in_again("boss")
    opened = browser.open("", "boss")
    page = opened.page
    open_entry(page, "People")
    follow(page, "Add a person")
    page.get_by_label("Login", exact=True).fill("nora")
    page.get_by_label("Signs in with").select_option("lab")
    page.get_by_label("Name", exact=True).fill("Nora Nilsson")
    page.keyboard.press("Enter")
    page.wait_for_url("**/people/nora")
    expect(page.locator("#az-toasts")).to_contain_text("nora is registered.")

    follow(page, "Give a role")
    page.get_by_label("The role").select_option("PROJECT_ADMIN")
    page.get_by_label("in the project").fill("p1")
    page.get_by_text("7 days", exact=True).click()
    page.get_by_label("because").fill("runs the project for a week")
    expect(page.locator("#preview")).to_contain_text("nora gets PROJECT_ADMIN")
    press(page, re.compile("^Give"))
    expect(page.locator("#az-toasts")).to_contain_text("nora has PROJECT_ADMIN in p1")
    open_entry(page, "People")
    follow(page, re.compile("Nora Nilsson"))
    expect(page.locator("#access")).to_contain_text("runs the project for a week")

    ask_why(page, "nora", "Yes. nora may")
    page.go_back()
    page.go_back()
    follow(page, "Stop access…")
    expect(page.get_by_role("main")).to_contain_text("nora cannot sign in")
    page.get_by_label("Reason (recorded in the audit)").fill("Laptop reported stolen")
    press(page, "Stop nora")
    page.wait_for_url("**/people/nora")
    expect(page.get_by_role("main")).to_contain_text("Stopped by boss")
    ask_why(page, "nora", "No. nora may not")
    expect(page.locator("#ways")).to_contain_text("No role would help while this lock holds")
    page.go_back()
    page.go_back()
    follow(page, "Restore access…")
    expect(page.get_by_role("main")).to_contain_text("PROJECT_ADMIN")
    page.get_by_label("Reason (recorded in the audit)").fill("Laptop found")
    press(page, "Restore access")
    page.wait_for_url("**/people/nora")
    expect(page.locator("#az-toasts")).to_contain_text("nora can sign in again.")
    expect(page.get_by_text("Stopped by boss")).to_have_count(0)
    ask_why(page, "nora", "Yes. nora may")

    open_entry(page, "Audit")
    for sentence in ("boss registered nora", "boss gave nora PROJECT_ADMIN", "Laptop reported stolen", "Laptop found"):
        expect(page.locator("#results")).to_contain_text(sentence)
    assert opened.complaints == []


def test_from_a_refusal_by_its_link_to_an_approval_and_the_end(browser: PanelBrowser, panel: PanelService) -> None:
    """A reader is refused in a notebook, asks at the link of the refusal, is approved, and the role ends by itself."""
    session = panel.run(panel.driver.open("rob"))
    refused = panel.run(panel.driver.command(session, COMMAND))
    assert refused.status == 403
    why = urlsplit(refused.json["why"])
    opened = browser.open(f"{why.path.removeprefix(PREFIX)}?{why.query}", "rob")
    page = opened.page
    expect(page.locator(".az-verdict h2")).to_contain_text("No. You may not start training in p1.")
    page.get_by_role("link", name="Ask for PROJECT_EXECUTOR").first.click()
    page.locator("#ask").get_by_label("Role", exact=True).select_option("PROJECT_EXECUTOR")
    page.get_by_label("Why you need it").fill("Q4 campaign")
    page.locator("#aizen-ask").click()
    expect(page.locator("#az-toasts")).to_contain_text("Requested PROJECT_EXECUTOR in p1")
    expect(page.locator("#ways")).to_contain_text("You have asked for it")
    expect(page.locator("#ask option[value=PROJECT_EXECUTOR]")).to_have_count(0)

    admin = browser.open("", "ada")
    expect(admin.page.get_by_role("main")).to_contain_text("1 request waits for you.")
    open_entry(admin.page, "Requests")
    expect(admin.page.locator("#aizen-requests")).to_contain_text("Q4 campaign")
    follow(admin.page, re.compile("^Review"))
    admin.page.locator("#aizen-approve").click()
    expect(admin.page.locator("#az-toasts")).to_contain_text("Approved: you gave rob PROJECT_EXECUTOR in p1")

    assert panel.run(panel.driver.command(session, COMMAND)).status != 403
    open_entry(page, "My access")
    expect(page.get_by_role("main")).to_contain_text("PROJECT_EXECUTOR")

    _let_end(panel, "rob")
    assert panel.run(panel.driver.command(session, COMMAND)).status == 403
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("PROJECT_READER")
    page.goto(panel.url + "why?do=start+training&in=p1")
    expect(page.locator(".az-verdict")).to_contain_text("PROJECT_EXECUTOR allowed it, and has ended.")
    assert opened.complaints == []
    assert admin.complaints == []


def _let_end(panel: PanelService, user: str) -> None:
    """Move the time of a role back, as if its end had come: the clock of the service is the real one."""
    a = tables.assignment_rows
    mine = (a.c.identity == f"user:{user}") & (a.c.role == "PROJECT_EXECUTOR")

    def change(tx: WriteTransaction) -> None:
        row = tx.conn.execute(a.select().where(mine)).one()
        assert row.ends is not None
        assert row.ends > tx.now
        times = {"granted": tx.now - timedelta(hours=2), "ends": tx.now - timedelta(hours=1)}
        tx.conn.execute(update(a).where(mine).values(times))
        tx.record_change("ended", {}, [f"user:{user}"])

    panel.write("boss", change)


class Keyboard:
    """The keys alone: what has the focus is reached by Tab, and pressed by Enter or Space."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, selector: str) -> None:
        """Press Tab until an element that fits has the focus; fail if there is no such stop."""
        script = "(selector) => document.activeElement.matches(selector)"
        for _ in range(MAX_STOPS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(script, selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def choose(self, selector: str, value: str) -> None:
        """Press the arrow key in a list until a value is chosen; typed names would depend on the time between keys."""
        field = self.page.locator(selector)
        expect(field).to_be_focused()
        self.page.keyboard.press("Home")
        for _ in range(field.locator("option").count()):
            if field.input_value() == value:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{selector} does not offer {value}")

    def press(self, selector: str, key: str = "Enter") -> None:
        self.reach(selector)
        self.page.keyboard.press(key)


def test_a_role_is_given_changed_and_given_back_by_keys_alone(browser: PanelBrowser, panel: PanelService) -> None:
    opened = browser.open("", "ada")
    page, keys = opened.page, Keyboard(opened.page)
    keys.press("nav a[href$='/projects']")
    expect(page.locator("h1")).to_have_text("Projects")
    page.keyboard.press("Tab")
    expect(page.locator(".az-skip")).to_be_focused()
    page.keyboard.press("Enter")
    keys.press("main a[href$='/projects/p1']")
    expect(page.locator("h1")).to_have_text("p1")

    keys.reach("#who")
    page.keyboard.type("nil")
    page.keyboard.press("Enter")
    expect(page.locator(".az-token")).to_have_count(1)
    keys.reach("#give_role")
    keys.choose("#give_role", "PROJECT_READER")
    keys.reach("input[name=until]")
    page.keyboard.press("ArrowRight")
    chosen = page.locator("input[name=until]:checked")
    expect(chosen).to_be_focused()
    keys.reach("#reason")
    page.keyboard.type("to look on")
    expect(page.locator("#preview")).to_contain_text("nil: gets PROJECT_READER")
    keys.press("main button.az-primary")
    expect(page.locator("#az-toasts")).to_contain_text("nil has PROJECT_READER in p1.")
    assert _roles(panel, "nil") == {"PROJECT_READER"}

    keys.press("a[aria-label='Change nil, PROJECT_READER']")
    keys.choose("#new_role", "PROJECT_EXECUTOR")
    keys.press("button:is(.az-primary):not(#results *), #results button.az-primary")
    expect(page.locator("#az-toasts")).to_contain_text("nil has PROJECT_EXECUTOR in p1.")
    assert _roles(panel, "nil") == {"PROJECT_EXECUTOR"}
    keys.press("#az-toasts button:not([data-dismiss])")
    expect(page.locator("#az-toasts")).to_contain_text("Undone")
    assert _roles(panel, "nil") == {"PROJECT_READER"}
    assert opened.complaints == []


def _roles(panel: PanelService, user: str) -> set[str]:
    with panel.store.read() as tx:
        rights = tx.rights(Identity.user(user))
        return {held.role for held in rights.held_roles if held.scope == "p1" and held.is_effective(tx.now)}
