"""Page *Compare*: what one has and the other lacks, what of it the viewer may give, and giving it with an undo."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of


def seed(tx: WriteTransaction) -> None:
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.user("nil"))
    assignments.grant_roles(tx, ["PROJECT_READER"], "p2", Identity.user("eve"))
    management.create_group(tx, "team")
    management.create_group(tx, "lab-team", provider="lab")
    membership.add_member(tx, "team", Identity.user("eve"))


def roles_of(panel: PanelService, name: str) -> set[tuple[str, str]]:
    with panel.store.read() as tx:
        return {(held.role, held.scope) for held in tx.rights(Identity.user(name)).held_roles}


def test_the_difference_in_a_sentence_and_row_by_row(panel: PanelService) -> None:
    page = panel.get("boss", "compare?who=nil&other=eve")
    text = text_of(page)
    assert re.search(r"eve may run \d+ commands that nil may not", text)
    assert "nil may run nothing that eve may not." in text
    # boss may give neither role, and may add to the group.
    assert re.findall(r'name="give"[^>]*value="([^"]+)"', page) == ["group:team"]


def test_a_project_admin_compares_only_in_their_projects(panel: PanelService) -> None:
    page = panel.get("ada", "compare?who=nil&other=eve")
    assert "p2" not in text_of(page)
    assert "team" not in text_of(page)
    assert re.findall(r'name="give"[^>]*value="([^"]+)"', page) == ["role:p1:PROJECT_EXECUTOR"]


def test_giving_the_same_and_undoing_it(panel: PanelService) -> None:
    form = {"other": "eve", "give": ["role:p1:PROJECT_EXECUTOR"], "until": "7d", "reason": "takes over"}
    response = panel.post("ada", "people/nil/same", form)
    assert response.status == 303
    assert ("PROJECT_EXECUTOR", "p1") in roles_of(panel, "nil")
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', panel.get("ada", "people/nil"))
    assert undo is not None
    assert panel.post("ada", "undo", {"undo": undo.group(1), "back": ""}).status == 303
    assert ("PROJECT_EXECUTOR", "p1") not in roles_of(panel, "nil")


@pytest.mark.parametrize(
    ("viewer", "give"),
    [
        ("ada", []),
        ("ada", ["role:p2:PROJECT_READER"]),
        ("ada", ["role:p1:PROJECT_EXECUTOR", "group:team"]),
        ("boss", ["role:p1:PROJECT_EXECUTOR"]),
        ("ada", ["role:system:AIZEN_ADMIN"]),
        ("ada", ["shoe:p1"]),
    ],
)
@pytest.mark.proves("R66")
def test_all_or_nothing_is_given_by_the_rules_of_the_command(panel: PanelService, viewer: str, give: list[str]) -> None:
    before = roles_of(panel, "nil")
    response = panel.post(viewer, "people/nil/same", {"other": "eve", "give": give, "until": "7d"})
    assert response.status in (403, 404, 422)
    assert roles_of(panel, "nil") == before


@pytest.mark.parametrize("other", ["zoe", "nowhere"])
def test_a_person_that_the_viewer_does_not_see_equals_one_that_does_not_exist(panel: PanelService, other: str) -> None:
    page = text_of(panel.get("ada", f"compare?who=nil&other={other}"))
    assert f"There is no {other}, or no role of theirs that you may see." in page


def test_undoing_restores_the_end_that_a_role_had(panel: PanelService) -> None:
    def end_of(role: str) -> object:
        with panel.store.read() as tx:
            row = assignments.find_assignment(tx, role, "p1", Identity.user("rob"))
            return None if row is None else row.ends

    assert end_of("PROJECT_READER") is None
    form = {"other": "eve", "give": ["role:p1:PROJECT_READER"], "until": "7d"}
    assert panel.post("ada", "people/rob/same", form).status == 303
    assert end_of("PROJECT_READER") is not None
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', panel.get("ada", "people/rob"))
    assert undo is not None
    assert panel.post("ada", "undo", {"undo": undo.group(1), "back": ""}).status == 303
    assert end_of("PROJECT_READER") is None
    assert ("PROJECT_READER", "p1") in roles_of(panel, "rob")
