"""Taking a role away: the preview says what else gives access, and the change is the command's own, with an undo."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of


def seed(tx: WriteTransaction) -> None:
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.user("eve"))
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.user("nil"))
    assignments.grant_roles(tx, ["PROJECT_CREATOR"], None, Identity.user("rob"))
    management.create_group(tx, "team")
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.group("team"))


def roles_of(panel: PanelService, identity: str) -> set[str]:
    with panel.store.read() as tx:
        return {held.role for held in tx.rights(Identity.parse(identity)).held_roles if held.scope == "p1"}


def test_the_preview_says_what_is_lost_and_what_else_gives_access(panel: PanelService) -> None:
    reader = text_of(panel.get("ada", "people/eve/take-away?role=PROJECT_READER&scope=p1"))
    assert "eve loses no command: another role gives the same." in reader
    executor = text_of(panel.get("ada", "people/eve/take-away?role=PROJECT_EXECUTOR&scope=p1"))
    assert re.search(r"eve loses \d+ commands in p1\. What still gives access: PROJECT_READER", executor)


@pytest.mark.parametrize(
    ("viewer", "page", "status"),
    [
        ("zoe", "people/eve/take-away?role=PROJECT_READER&scope=p1", 404),
        ("ada", "people/eve/take-away?role=PROJECT_READER&scope=p2", 404),
        ("ada", "people/eve/take-away?role=PROJECT_ADMIN&scope=p1", 404),
        ("ada", "people/eve/take-away", 400),
        ("ada", "people/rob/take-away?role=PROJECT_CREATOR&scope=system", 404),
        ("boss", "people/rob/take-away?role=PROJECT_CREATOR&scope=system", 200),
        ("rob", "people/rob/take-away?role=PROJECT_CREATOR&scope=system", 200),
        ("boss", "people/eve/take-away?role=PROJECT_READER&scope=p1", 200),
        ("ada", "groups/team/take-away?role=PROJECT_READER&scope=p1", 200),
    ],
)
def test_the_preview_is_for_those_who_see_the_project(panel: PanelService, viewer: str, page: str, status: int) -> None:
    assert panel.run(panel.window(viewer).get(page)).status == status


@pytest.mark.proves("R66")
def test_a_role_that_is_not_the_viewers_to_take_away_stays(panel: PanelService) -> None:
    form = {"role": "PROJECT_READER", "scope": "p1", "reason": "a reason that I typed"}
    response = panel.post("boss", "people/nil/take-away", form)
    assert response.status == 422
    page = response.body.decode()
    assert "a reason that I typed" in page
    assert "ask ada" in page.lower()
    assert roles_of(panel, "user:nil") == {"PROJECT_READER"}


@pytest.mark.parametrize(
    ("folder", "identity", "back"),
    [
        ("people/eve", "user:eve", "people/eve"),
        # They have nothing else in p1, so its admin does not see them any more.
        ("people/nil", "user:nil", "people"),
        ("groups/team", "group:team", "groups"),
    ],
)
def test_taking_away_and_undoing_it(panel: PanelService, folder: str, identity: str, back: str) -> None:
    before = roles_of(panel, identity)
    form = {"role": "PROJECT_READER", "scope": "p1", "reason": "left the team"}
    response = panel.post("ada", f"{folder}/take-away", form)
    assert (response.status, response.headers["Location"]) == (303, f"/services/aizen/{back}")
    assert roles_of(panel, identity) == before - {"PROJECT_READER"}
    page = panel.get("ada", back)
    assert "PROJECT_READER in p1 was taken away from" in page
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', page)
    assert undo is not None
    assert panel.post("ada", "undo", {"undo": undo.group(1), "back": ""}).status == 303
    assert roles_of(panel, identity) == before


@pytest.mark.proves("R72")
def test_whether_someone_has_a_role_of_the_system_is_not_told(panel: PanelService) -> None:
    panel.get("ada", "me")  # shows the toast of the last change
    pages = {
        panel.run(panel.window("ada").get(f"people/rob/take-away?role={role}&scope=system")).body
        for role in ("PROJECT_CREATOR", "AIZEN_ADMIN")
    }
    assert len(pages) == 1
