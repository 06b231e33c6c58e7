"""Page *Directory*: rules, and the tester that changes nothing."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import expect
from sqlalchemy import func, select

from aizen_hub.accounts.groups import mapping_rules
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.conftest import Response


def seed(tx: WriteTransaction) -> None:
    mapping_rules.create_rule(tx, "lab", "crew", "PROJECT_EXECUTOR", "p1")
    mapping_rules.create_rule(tx, "lab", "aizen-{project}-readers", "PROJECT_READER")
    custom_roles.create_role(tx, "GROUPER", permissions=["manage:groups"], scopes=["system"])
    assignments.unauthorized_write_assignment(tx, "GROUPER", SYSTEM, Identity.user("zoe"))


def revision(panel: PanelService) -> int:
    with panel.store.read() as tx:
        return tx.revision


def words(response: Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.body.decode()))


def test_which_roles_would_these_groups_give(panel: PanelService) -> None:
    before = revision(panel)
    groups = "crew\naizen-p2-readers\naizen-nowhere-readers\nall-staff"
    page = panel.get("boss", f"directory?{urlencode({'provider': 'lab', 'groups': groups})}")
    (outcomes,) = re.findall(r'id="aizen-outcomes".*?</ul>', page, re.DOTALL)
    words = re.sub(r"<[^>]*>|\s+", " ", outcomes)
    words = re.sub(r"\s+", " ", words)
    assert "crew PROJECT_EXECUTOR in p1" in words
    assert "aizen-p2-readers PROJECT_READER in p2" in words
    assert words.count("No rule fits") == 2
    assert revision(panel) == before


def test_a_rule_is_added_and_deleted_after_a_recent_sign_in(panel: PanelService) -> None:
    form = {"rule_provider": "lab", "rule_group": "night", "rule_role": "PROJECT_ADMIN", "rule_project": "p2"}
    assert panel.post("boss", "directory/rules", form).status == 403
    panel.sign_in_again("boss")
    wrong = panel.post("boss", "directory/rules", {**form, "rule_group": ""})
    assert wrong.status == 422
    assert b'id="rule_group-error"' in wrong.body
    assert panel.post("boss", "directory/rules", form).status == 303
    page = panel.get("boss", "directory")
    assert "night" in page
    with panel.store.read() as tx:
        rules = tables.mapping_rules
        rule = tx.conn.execute(select(rules.c.id).where(rules.c.group == "night")).scalar_one()
    assert "lose" in panel.get("boss", f"directory/rules/{rule}")
    assert panel.post("boss", "directory/rules/-/delete", {"rule": str(rule)}).status == 303
    with panel.store.read() as tx:
        count = select(func.count()).select_from(rules).where(rules.c.id == rule)
        assert tx.conn.execute(count).scalar_one() == 0


def test_who_gains_and_loses_by_a_rule_is_shown_first(panel: PanelService) -> None:
    """The group of a directory with the person in it exists by another rule, and by a report of the provider."""
    panel.sign_in_again("boss")
    panel.write("boss", lambda tx: mapping_rules.create_rule(tx, "lab", "shift", "PROJECT_ADMIN", "p1"))
    panel.write(
        "boss", lambda tx: registration.unauthorized_register_user(tx, "sid", provider="lab", display_name="Sid")
    )
    report = {"provider": "lab", "subject": "sid-1", "name": "sid", "groups": ["shift"]}
    assert panel.run(panel.driver.hub("POST", "/login", report)).status == 200
    with panel.store.read() as tx:
        rules = tables.mapping_rules
        rule = tx.conn.execute(select(rules.c.id).where(rules.c.group == "shift")).scalar_one()
    before = revision(panel)
    form = {"rule_provider": "lab", "rule_group": "shift", "rule_role": "PROJECT_ADMIN", "rule_project": "p2"}
    added = panel.post("boss", "directory/rules", {**form, "act": "preview"})
    assert added.status == 200
    assert "sid + PROJECT_ADMIN in p2" in words(added)
    form |= {"rule_project": "p1", "rule_group": "other"}
    changed = panel.post("boss", "directory/rules/-/change", {**form, "rule": str(rule), "act": "preview"})
    assert changed.status == 200
    assert "PROJECT_ADMIN in p1" in words(changed).partition("sid")[2].partition("Cancel")[0]
    empty = panel.post("boss", "directory/rules", {**form, "act": "preview"})
    assert "No one gains or loses a right now" in words(empty)
    assert panel.post("ada", "directory/rules", {**form, "act": "preview"}).status in (403, 404)
    hidden = panel.post(
        "zoe", "directory/rules", {**form, "rule_group": "shift", "rule_project": "p2", "act": "preview"}
    )
    assert hidden.status == 200
    assert "sid" not in words(hidden), "zoe manages groups, and sees the people of p2 only"
    assert revision(panel) == before
    panel.write("boss", lambda tx: mapping_rules.delete_rule(tx, rule))


@pytest.mark.needs("browser", "axe")
@pytest.mark.slow
def test_a_rule_is_previewed_and_added_in_the_browser(panel: PanelService, browser: PanelBrowser) -> None:
    panel.sign_in_again("boss")
    opened = browser.open("directory", "boss", width=320)
    page = opened.page
    page.get_by_label("Group", exact=True).fill("evening")
    page.locator("#rule_role").select_option("PROJECT_ADMIN")
    page.get_by_label("Project", exact=True).fill("p1")
    page.get_by_role("button", name="Preview the rule…").click()
    expect(page.locator("#effect")).to_contain_text("No one gains or loses a right now.")
    opened.check()
    page.get_by_role("button", name="Add the rule").click()
    expect(page.locator("#az-toasts")).to_contain_text("evening")
    page.get_by_role("link", name="Change the rule of evening for PROJECT_ADMIN").click()
    page.get_by_label("Project", exact=True).fill("p2")
    page.get_by_role("button", name="Preview the change…").click()
    page.get_by_role("button", name="Change the rule").click()
    expect(page.locator("#az-toasts")).to_contain_text("delete rule")
    with panel.store.read() as tx:
        rules = tables.mapping_rules
        rows = tx.conn.execute(select(rules.c.id, rules.c.project).where(rules.c.group == "evening")).all()
    assert [row.project for row in rows] == ["p2"]
    panel.write("boss", lambda tx: mapping_rules.delete_rule(tx, rows[0].id))


def test_groups_that_are_too_many_to_be_tried_are_not_left_out_in_silence(panel: PanelService) -> None:
    groups = "\n".join(f"g{number}" for number in range(203))
    page = panel.get("boss", f"directory?{urlencode({'provider': 'lab', 'groups': groups})}")
    assert "3 more were left out" in page


@pytest.mark.parametrize("rule", ["²", "9" * 20, "0", "x"])
@pytest.mark.parametrize("user", ["boss", "nil"])
def test_another_rule_is_a_missing_page(panel: PanelService, user: str, rule: str) -> None:
    assert panel.run(panel.window(user).get(f"directory/rules/{quote(rule)}")).status == 404
    assert panel.post(user, "directory/rules/-/delete", {"rule": "9" * 20}).status == 400


def test_a_rule_is_changed_in_one_step(panel: PanelService) -> None:
    panel.sign_in_again("boss")
    rules, a = tables.mapping_rules, tables.assignments
    form = {"rule_provider": "lab", "rule_group": "day", "rule_role": "PROJECT_ADMIN", "rule_project": "p2"}
    assert panel.post("boss", "directory/rules", form).status == 303
    with panel.store.read() as tx:
        rule = tx.conn.execute(select(rules.c.id).where(rules.c.group == "day")).scalar_one()
    page = panel.get("boss", f"directory/rules/{rule}")
    assert 'value="day"' in page
    same = panel.post("boss", "directory/rules/-/change", {**form, "rule": str(rule)})
    assert same.status == 422
    assert b"says this already" in same.body
    wrong = panel.post("boss", "directory/rules/-/change", {**form, "rule": str(rule), "rule_group": ""})
    assert wrong.status == 422
    assert b'id="rule_group-error"' in wrong.body
    changed = panel.post("boss", "directory/rules/-/change", {**form, "rule": str(rule), "rule_group": "late"})
    assert changed.status == 303, changed.body
    with panel.store.read() as tx:
        groups = set(tx.conn.execute(select(rules.c.group).where(rules.c.role == "PROJECT_ADMIN")).scalars())
        assert groups == {"late"}
        assert not tx.conn.execute(select(a.c.id).where(a.c.identity == "group:day")).all()


def test_a_rule_is_changed_by_those_who_manage_groups_after_a_recent_sign_in(panel: PanelService) -> None:
    with panel.store.read() as tx:
        rules = tables.mapping_rules
        rule = tx.conn.execute(select(rules.c.id).where(rules.c.group == "crew")).scalar_one()
    form = {"rule_provider": "lab", "rule_group": "x", "rule_role": "PROJECT_READER", "rule_project": "p1"}
    assert panel.post("ada", "directory/rules/-/change", {**form, "rule": str(rule)}).status in (403, 404)
    with panel.store.read() as tx:
        assert tx.conn.execute(select(rules.c.group).where(rules.c.id == rule)).scalar_one() == "crew"


def test_who_left_the_directory_is_listed_until_they_sign_in_again(panel: PanelService) -> None:
    report = {"provider": "lab", "subject": "lea-1", "name": "lea"}
    panel.write(
        "boss", lambda tx: registration.unauthorized_register_user(tx, "lea", provider="lab", display_name="Lea")
    )
    assert panel.run(panel.driver.hub("POST", "/login", report)).status == 200
    assert "Left the directory" not in panel.get("boss", "directory")
    departure = {"provider": "lab", "subject": "lea-1"}
    assert panel.run(panel.driver.hub("POST", "/login/departures", departure)).status == 204
    assert "The roles of lea" in panel.get("boss", "directory")
    assert "The roles of lea" not in panel.get("zoe", "directory"), "zoe manages groups, and sees the people of p2 only"
    assert "Left the directory" in panel.get("boss", "people?state=left")
    assert "people/lea" not in panel.get("boss", "people?state=active")
    assert panel.run(panel.driver.hub("POST", "/login", report)).status == 200
    assert "The roles of lea" not in panel.get("boss", "directory")
    assert "people/lea" in panel.get("boss", "people?state=active")
