"""The list of groups: filters, counts, and only what the viewer may see."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.groups.listing import GroupsQuery, GroupState, count_groups, list_groups
from aizen_hub.service.panel.groups.members import list_members, read_tree
from aizen_hub.service.panel.paging import PageQuery
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.store import tables
from tests.accounts.conftest import populated_folder, shared_harness, template_folder
from tests.accounts.harness import OPERATOR, AccountsHarness

__all__ = ["populated_folder", "shared_harness", "template_folder"]


@pytest.fixture(scope="module")
def groups(shared_harness: AccountsHarness) -> AccountsHarness:
    harness = shared_harness
    for name in ("team", "inner", "empty", "unused"):
        harness.execute(OPERATOR, management.create_group, name, description=f"for {name}s")
    harness.execute(OPERATOR, management.create_group, "lab", provider="ldap")
    harness.grant("PROJECT_READER", "p1", Identity.group("team"))
    harness.grant("PROJECT_EXECUTOR", "p2", Identity.group("empty"))
    for group, member in (
        ("team", Identity.user("rita")),
        ("team", Identity.user("emma")),
        ("team", Identity.group("inner")),
        ("inner", Identity.user("rita")),
        ("inner", Identity.user("tim")),
    ):
        harness.execute(OPERATOR, membership.add_member, group, member)
    return harness


def names(harness: AccountsHarness, viewer: str = "admin", **query: Any) -> list[str]:
    with harness.store.read_as(harness.actor(viewer)) as tx:
        page, rows = list_groups(Viewer(tx), GroupsQuery(**query))
        assert page.total == len(rows)
        return [row.name for row in rows]


ALL = ["empty", "inner", "lab", "team", "unused"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"sort": "-name"}, ALL[::-1]),
        ({"q": "TEA"}, ["team"]),
        ({"q": "for inner"}, ["inner"]),
        ({"origin": "local"}, ["empty", "inner", "team", "unused"]),
        ({"origin": "ldap"}, ["lab"]),
        ({"project": "p1"}, ["team"]),
        ({"state": GroupState.EMPTY}, ["empty", "lab", "unused"]),
        ({"state": GroupState.GRANTS_NOTHING}, ["inner", "lab", "unused"]),
    ],
)
def test_each_filter_selects_what_it_says(groups: AccountsHarness, query: dict[str, Any], expected: list[str]) -> None:
    assert [name for name in names(groups, **query) if name in ALL] == expected


@pytest.mark.parametrize(
    ("viewer", "expected"), [("paul", ["inner", "team"]), ("olga", ["empty"]), ("tim", ["inner", "team"]), ("zoe", [])]
)
@pytest.mark.proves("R72")
def test_others_see_their_own_groups_and_those_with_a_role_in_their_projects(
    groups: AccountsHarness, viewer: str, expected: list[str]
) -> None:
    assert [name for name in names(groups, viewer) if name in ALL] == expected


def test_counts_and_rows(groups: AccountsHarness) -> None:
    with groups.store.read_as(groups.actor("admin")) as tx:
        viewer = Viewer(tx)
        rows = {row.name: row for row in list_groups(viewer, GroupsQuery())[1]}
        counts = count_groups(viewer)
    assert (rows["team"].people, rows["team"].groups) == (2, 1)
    assert [row.name for row in rows.values() if row.is_unused] == ["lab", "unused"]
    assert counts["nothing"] >= 3
    assert counts["empty"] >= 3


def test_the_tree_counts_each_person_once_and_names_who_is_in_it_twice(groups: AccountsHarness) -> None:
    with groups.read() as tx:
        row = tx.conn.execute(tables.groups.select().where(tables.groups.c.name == "team")).one()
        tree = read_tree(tx, row)
        members = list_members(tx, row.id, PageQuery())
    assert (tree.people, tree.repeated, tree.is_complete) == (3, ("rita",), True)
    assert [node.name for node in tree.root.groups] == ["inner"]
    assert tree.root.groups[0].names == ("rita", "tim")
    assert [member.member for member in members.rows] == ["group:inner", "user:emma", "user:rita"]
