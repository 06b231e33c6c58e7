"""A group's pages: members with previews and undo, circles refused at the field, settings and deletion."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of


def seed(tx: WriteTransaction) -> None:
    for name in ("team", "inner", "outer", "theirs"):
        management.create_group(tx, name)
    management.create_group(tx, "lab-team", provider="lab")
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.group("outer"))
    # Only who has the rights of a group may add to it (R66).
    assignments.grant_roles(tx, ["PROJECT_ADMIN"], "p1", Identity.user("boss"))
    membership.add_member(tx, "outer", Identity.group("team"))
    assignments.grant_roles(tx, ["PROJECT_READER"], "p2", Identity.group("theirs"))
    membership.add_member(tx, "inner", Identity.user("nil"))
    membership.add_member(tx, "team", Identity.user("rob"))
    management.create_group(tx, "closed")
    custom_roles.create_role(tx, "GROUP_KEEPER", permissions=["manage:groups"], scopes=["system"])
    assignments.grant_roles(tx, ["GROUP_KEEPER"], None, Identity.user("maker"))
    membership.add_member(tx, "theirs", Identity.group("closed"))
    membership.add_member(tx, "closed", Identity.user("maker"))
    management.set_default_group(tx, "closed", True)


def members_of(panel: PanelService, group: str) -> set[str]:
    g, m = tables.groups, tables.memberships
    with panel.store.read() as tx:
        query = m.select().join(g, g.c.id == m.c.group_id).where(g.c.name == group)
        return {row.member for row in tx.conn.execute(query)}


def test_adding_shows_who_gets_what_first_and_can_be_undone(panel: PanelService) -> None:
    before = members_of(panel, "team")
    form = {"who": "eve, group:inner"}
    preview = panel.post("boss", "groups/team/members", form)
    page = text_of(preview.body.decode())
    assert preview.status == 200
    assert "2 people, with those in groups" in page
    assert "PROJECT_READER in p1" in page
    assert "2 of 2 get something that they do not have by another way." in page
    assert members_of(panel, "team") == before
    assert panel.post("boss", "groups/team/members", form | {"confirmed": "yes"}).status == 303
    assert members_of(panel, "team") == before | {"user:eve", "group:inner"}
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', panel.get("boss", "groups/team"))
    assert undo is not None
    assert panel.post("boss", "undo", {"undo": undo.group(1), "back": ""}).status == 303
    assert members_of(panel, "team") == before


def test_removing_shows_who_loses_what_first_and_can_be_undone(panel: PanelService) -> None:
    preview = text_of(panel.get("boss", "groups/team/remove?member=user%3Arob"))
    assert "No one loses it: everyone has it by another way." in preview  # rob is a reader of p1 himself
    assert panel.post("boss", "groups/team/remove", {"member": "user:rob"}).status == 303
    assert "user:rob" not in members_of(panel, "team")
    undo = re.search(r'name="undo" value="([0-9a-f]+)"', panel.get("boss", "groups/team"))
    assert undo is not None
    assert panel.post("boss", "undo", {"undo": undo.group(1), "back": ""}).status == 303
    assert "user:rob" in members_of(panel, "team")


@pytest.mark.proves("R66")
def test_a_group_whose_rights_the_viewer_lacks_is_refused_before_the_preview(panel: PanelService) -> None:
    response = panel.post("boss", "groups/theirs/members", {"who": "eve"})
    assert response.status == 422
    assert "you need every right of the group" in text_of(response.body.decode())


@pytest.mark.parametrize("confirmed", ["", "yes"])
@pytest.mark.parametrize(
    ("group", "who", "text"),
    [
        ("team", "", "Name at least one"),
        ("team", "evee", "did you mean eve"),
        ("team", "eve, group:iner", "did you mean group:inner"),
        ("team", "group:outer", "would contain itself"),
        ("team", "group:team", "would contain itself"),
        ("team", "service-account:nothing", "there is no service-account:nothing"),
    ],
)
def test_what_cannot_be_added_is_named_at_the_field_and_changes_nothing(
    panel: PanelService, group: str, who: str, text: str, confirmed: str
) -> None:
    before = members_of(panel, group)
    response = panel.post("boss", f"groups/{group}/members", {"who": who, "confirmed": confirmed})
    page = response.body.decode()
    assert response.status == 422
    assert text.casefold() in text_of(page).casefold()
    assert 'id="who-error"' in page
    assert members_of(panel, group) == before


def test_a_directory_group_is_read_only_and_says_where_it_is_kept(panel: PanelService) -> None:
    page = panel.get("boss", "groups/lab-team")
    assert "Who is in it is kept in lab." in text_of(page)
    assert 'name="who"' not in page
    response = panel.post("boss", "groups/lab-team/members", {"who": "eve", "confirmed": "yes"})
    assert response.status == 422
    assert members_of(panel, "lab-team") == set()


def test_a_group_is_made_changed_and_deleted(panel: PanelService) -> None:
    assert panel.post("boss", "groups/-/new", {"name": "campaign", "description": "Q4"}).status == 303
    taken = panel.post("boss", "groups/-/new", {"name": "campaign", "description": "typed"})
    assert taken.status == 422
    assert 'value="typed"' in taken.body.decode()
    assert panel.post("boss", "groups/campaign/settings", {"description": "Q5"}).status == 303
    assert "Q5" in panel.get("boss", "groups/campaign")
    assert panel.post("boss", "groups/campaign/delete", {"typed_name": "campaing"}).status == 422
    assert panel.post("boss", "groups/campaign/delete", {"typed_name": "campaign"}).status == 303
    assert panel.run(panel.window("boss").get("groups/campaign")).status == 404


def is_default(panel: PanelService, group: str) -> bool:
    with panel.store.read() as tx:
        return bool(identities.get_group(tx, group).is_default)


def test_having_every_new_person_join_shows_what_they_get_first(panel: PanelService) -> None:
    panel.post("boss", "groups/-/new", {"name": "newcomers"})
    panel.write("boss", lambda tx: membership.add_member(tx, "outer", Identity.group("newcomers")))
    panel.write("boss", lambda tx: membership.add_member(tx, "newcomers", Identity.user("rob")))
    form = {"description": "All of us", "is_default": "on"}
    preview = panel.post("boss", "groups/newcomers/settings", form)
    page = text_of(preview.body.decode())
    assert preview.status == 200
    assert "No one gets anything now" in page
    assert "1 member stays in the group" in page
    assert "What everyone registered from now on gets PROJECT_READER in p1" in page, "by a group around it"
    assert not is_default(panel, "newcomers")
    assert "All of us" not in panel.get("boss", "groups/newcomers")
    assert panel.post("boss", "groups/newcomers/settings", form | {"confirmed": "yes"}).status == 303
    assert is_default(panel, "newcomers")
    assert "All of us" in panel.get("boss", "groups/newcomers")

    page = text_of(panel.post("boss", "groups/newcomers/settings", {"description": "All of us"}).body.decode())
    assert "No one loses anything now. 1 member stays in the group" in page
    assert "What those registered from now on no longer get PROJECT_READER in p1" in page
    assert is_default(panel, "newcomers")
    assert panel.post("boss", "groups/newcomers/settings", {"description": "", "confirmed": "yes"}).status == 303
    assert not is_default(panel, "newcomers")


@pytest.mark.proves("R72")
def test_the_preview_does_not_tell_roles_in_projects_of_others(panel: PanelService) -> None:
    page = text_of(panel.post("maker", "groups/closed/settings", {"description": ""}).body.decode())
    assert "What those registered from now on no longer get" in page
    assert "PROJECT_READER" not in page
    assert "Roles in projects whose access you may not read are not shown." in page
    page = text_of(panel.post("boss", "groups/closed/settings", {"description": ""}).body.decode())
    assert "PROJECT_READER in p2" in page
    assert "not shown" not in page


@pytest.mark.proves("R66")
@pytest.mark.parametrize("confirmed", ["", "yes"])
def test_having_every_new_person_join_needs_the_rights_of_the_group(panel: PanelService, confirmed: str) -> None:
    response = panel.post("boss", "groups/theirs/settings", {"is_default": "on", "confirmed": confirmed})
    assert response.status == 422
    assert "make it a default group you need every right of" in text_of(response.body.decode())
    assert not is_default(panel, "theirs")


@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("groups/-/new", {"name": "mine"}),
        ("groups/outer/members", {"who": "eve", "confirmed": "yes"}),
        ("groups/outer/members", {"who": "eve"}),
        ("groups/outer/remove", {"member": "group:team"}),
        ("groups/outer/settings", {"description": "x"}),
        ("groups/outer/settings", {"is_default": "on"}),
        ("groups/outer/settings", {"is_default": "on", "confirmed": "yes"}),
        ("groups/outer/delete", {"typed_name": "outer"}),
    ],
)
@pytest.mark.proves("R60")
def test_those_who_manage_no_groups_change_nothing(panel: PanelService, page: str, form: dict[str, str]) -> None:
    before = members_of(panel, "outer")
    for viewer in ("ada", "nil"):
        assert panel.post(viewer, page, form).status in (403, 404)
    assert members_of(panel, "outer") == before
    assert "x" not in text_of(panel.get("boss", "groups/outer")).split()


@pytest.mark.parametrize(("viewer", "status"), [("boss", 200), ("ada", 200), ("rob", 200), ("zoe", 404)])
def test_a_group_is_shown_to_those_it_concerns(panel: PanelService, viewer: str, status: int) -> None:
    assert panel.run(panel.window(viewer).get("groups/outer")).status == status


@pytest.mark.proves("R72")
def test_a_mere_member_does_not_read_who_else_is_in_a_group(panel: PanelService) -> None:
    page = panel.get("nil", "groups/inner")
    assert 'id="members"' not in page
    assert "you are in it" in text_of(page)
    assert "You are in it" in text_of(panel.get("nil", "groups"))
    assert 'id="members"' in panel.get("ada", "groups/outer"), "it has a role in her project"


@pytest.mark.proves("R72")
@pytest.mark.parametrize("confirmed", ["", "yes"])
def test_adding_does_not_tell_others_which_names_exist(panel: PanelService, confirmed: str) -> None:
    forms = [{"who": name, "confirmed": confirmed} for name in ("eve", "ghost")]
    answers = [panel.post("nil", "groups/inner/members", form) for form in forms]
    assert [answer.status for answer in answers] == [403, 403]
