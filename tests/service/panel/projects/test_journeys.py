"""A project admin in Chromium: a refused session goes on after a grant, members are managed, changes are undone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import insert

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.projects import objects
from tests.service.panel.projects.objects import roles_of

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]
MEMBERS = 500
ROLES = ("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")


def seed(tx: WriteTransaction) -> None:
    """Add a project of 500 members, some of them with hostile names."""
    objects.seed(tx)
    hostile = ("", "<script>alert(1)</script>\u202e")
    common = {"provider": "lab", "alerts": {}, "active": True, "email_unconfirmed": False, "created": tx.now}
    users = [{"name": f"m{number}", "display_name": hostile[number % 2], **common} for number in range(MEMBERS)]
    tx.conn.execute(insert(tables.users), users)
    given = {"scope": "p1", "granted_by": "user:ada", "granted": tx.now, "revision": 1}
    rows = [
        {"role": ROLES[number % 3], "identity": f"user:m{number}", "reason": "<img src=x onerror=alert(1)>", **given}
        for number in range(MEMBERS)
    ]
    tx.conn.execute(insert(tables.assignment_rows), rows)
    tx.record_change("seeded", {}, ["*"])


def test_a_grant_unblocks_a_running_notebook_without_a_command(panel: PanelService, browser: PanelBrowser) -> None:
    driver = panel.driver
    session = panel.run(driver.open("rita", "churn"))
    assert panel.run(driver.command(session, "start training weekly")).status == 403
    opened = browser.open("projects/churn", "paul")
    page = opened.page
    page.locator("#give_role").select_option("PROJECT_EXECUTOR")
    page.get_by_text("7 days", exact=True).click()
    page.get_by_label("People and groups").fill("rita")
    page.get_by_label("People and groups").press("Enter")
    # The previews run one after the other, so none is under way when this one is there.
    expect(page.locator("#preview")).to_contain_text("rita: gets PROJECT_EXECUTOR")
    page.locator("#reason").fill("Q4 campaign")
    page.get_by_role("button", name="Add to churn").click()
    expect(page.locator("#az-toasts")).to_contain_text("rita has PROJECT_EXECUTOR in churn.")
    assert panel.run(driver.command(session, "start training weekly")).status != 403
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#az-toasts")).to_contain_text("Undone")
    assert panel.run(driver.command(session, "start training weekly")).status == 403
    assert opened.complaints == []


def test_a_role_is_changed_in_its_row(panel: PanelService, browser: PanelBrowser) -> None:
    opened = browser.open("projects/churn?role=PROJECT_READER", "paul")
    page = opened.page
    page.get_by_role("link", name="Change rita, PROJECT_READER").click()
    expect(page.get_by_role("heading", name="Take PROJECT_READER away")).to_be_visible()
    assert page.url.endswith("role=PROJECT_READER")
    expect(page.locator("#new_role")).to_be_focused()
    opened.check()
    page.get_by_role("link", name="Change service-account nightly, PROJECT_READER").click()
    expect(page.get_by_role("button", name="Save for service-account nightly")).to_be_visible()
    expect(page.locator("#new_role")).to_have_count(1)
    page.get_by_role("link", name="Change rita, PROJECT_READER").click()
    expect(page.get_by_role("button", name="Save for rita")).to_be_visible()
    page.locator("#new_role").select_option("PROJECT_EXECUTOR")
    expect(page.locator("#change-preview")).to_contain_text("commands more:")
    page.get_by_role("button", name="Save for rita").click()
    expect(page.locator("#az-toasts")).to_contain_text("rita has PROJECT_EXECUTOR in churn.")
    assert roles_of(panel, "rita") == {"PROJECT_EXECUTOR"}
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#az-toasts")).to_contain_text("Undone")
    assert roles_of(panel, "rita") == {"PROJECT_READER"}


def test_the_same_without_scripts(panel: PanelService, browser: PanelBrowser) -> None:
    page = browser.open("projects/churn", "paul", javascript=False).page
    page.get_by_label("People and groups").fill("eve, rob")
    page.locator("#give_role").select_option("PROJECT_READER")
    page.get_by_role("button", name="Add to churn").click()
    expect(page.locator("#az-toasts")).to_contain_text("eve and rob have PROJECT_READER in churn.")
    page.get_by_label("Select eve, PROJECT_READER").check()
    page.get_by_label("Select rob, PROJECT_READER").check()
    page.get_by_role("button", name="Take away…").click()
    page.get_by_role("button", name="Take away 2 roles").click()
    expect(page.locator("#az-toasts")).to_contain_text("2 roles were taken away in churn.")
    assert roles_of(panel, "eve") == roles_of(panel, "rob") == set()


def test_members_are_searched_as_one_types(browser: PanelBrowser) -> None:
    opened = browser.open("projects/p1", "ada")
    page = opened.page
    expect(page.locator("#results")).to_contain_text("of 503 roles")
    page.get_by_label("Find a member").fill("m49")
    expect(page.locator("#results")).to_contain_text("11 roles")
    expect(page).to_have_url(re.compile("q=m49"))
    page.get_by_label("Role", exact=True).last.select_option("PROJECT_ADMIN")
    expect(page.locator("#results")).to_contain_text("3 roles")
    page.reload()
    expect(page.locator("#results")).to_contain_text("3 roles")
    opened.check()


def test_the_matrix_of_500_members(browser: PanelBrowser) -> None:
    opened = browser.open("projects/p1/matrix/-/people", "ada")
    page = opened.page
    expect(page.locator("#results")).to_contain_text("503 members, 7 commands.")
    page.get_by_label("Commands").select_option("training")
    expect(page.locator("#results")).to_contain_text("503 members, 23 commands.")
    opened.check()
    page.locator("#results td a.no").first.click()
    page.wait_for_url("**/why?who=*&do=*&in=p1")


def test_a_role_is_made_previewed_and_given_by_keyboard(panel: PanelService, browser: PanelBrowser) -> None:
    panel.sign_in_again("boss")
    page = browser.open("roles/-/new", "boss").page
    page.get_by_label("Name", exact=True).fill("TRAINER")
    page.get_by_label("run training", exact=True).press("Space")
    page.get_by_role("button", name="Preview the role…").press("Enter")
    expect(page.get_by_role("heading", name="What will change")).to_be_visible()
    page.get_by_role("button", name="Make TRAINER").press("Enter")
    expect(page.locator("#az-toasts")).to_contain_text("TRAINER can be given now.")
    page = browser.open("give?role=TRAINER&to=rita&project=churn", "paul").page
    page.wait_for_load_state("networkidle")
    expect(page.locator("#preview")).to_contain_text("rita gets TRAINER")
    page.get_by_role("button", name="Give to 1 account").press("Enter")
    expect(page.locator("#az-toasts")).to_contain_text("rita has TRAINER in churn.")
    assert "TRAINER" in roles_of(panel, "rita")


def test_a_project_is_deleted_without_scripts(panel: PanelService, browser: PanelBrowser) -> None:
    panel.write("maker", lambda tx: lifecycle.create_project(tx, "doomed"))
    panel.sign_in_again("maker")
    page = browser.open("projects/doomed/settings", "maker", javascript=False).page
    card = page.locator("#delete")
    expect(card).to_contain_text("1 role of 1 member: maker")
    card.get_by_label("Type the name: doomed").fill("domed")
    card.get_by_role("button", name="Delete doomed").click()
    expect(page.locator("#confirm-error")).to_contain_text("Type doomed to delete it")
    card.get_by_label("Type the name: doomed").fill("doomed")
    card.get_by_role("button", name="Delete doomed").click()
    expect(page.locator("#az-toasts")).to_contain_text("doomed was deleted.")
    assert panel.run(panel.window("maker").get("projects/doomed")).status == 404
