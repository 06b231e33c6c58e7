"""The list of people: what each filter and order selects, and that no one appears whom the viewer may not see."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, usage
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.people.listing import PeopleQuery, PersonState, count_people, list_people
from aizen_hub.service.panel.visibility import Viewer
from tests.accounts.conftest import populated_folder, shared_harness, template_folder
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.store.query_plans import query_plans

__all__ = ["populated_folder", "shared_harness", "template_folder"]


@pytest.fixture(scope="module")
def people(shared_harness: AccountsHarness) -> AccountsHarness:
    """`shared_harness` with a group, a nested group, a stopped person and a local account."""
    harness = shared_harness
    for group in ("team", "inner"):
        harness.execute(OPERATOR, management.create_group, group)
    harness.grant("PROJECT_READER", "p2", Identity.group("team"))
    harness.execute(OPERATOR, membership.add_member, "team", Identity.group("inner"))
    harness.execute(OPERATOR, membership.add_member, "inner", Identity.user("zoe"))
    harness.execute(OPERATOR, membership.add_member, "team", Identity.user("tim"))
    harness.execute(OPERATOR, registration.create_user, "lars", provider="local", email="lars@acme.example")
    harness.execute(
        OPERATOR,
        profiles.write_profile,
        "rita",
        display_name="Rita Sandoval 100%",
        email=None,
        phone=None,
        alerts=None,
    )
    harness.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="test")
    return harness


def names(harness: AccountsHarness, viewer: str = "admin", **query: Any) -> list[str]:
    with harness.store.read_as(harness.actor(viewer)) as tx:
        page, rows = list_people(Viewer(tx), PeopleQuery(**query))
        assert page.total == len(rows)
        return [row.name for row in rows]


EVERYONE = ["admin", "carl", "emma", "lars", "olga", "paul", "rita", "tim", "zoe"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, EVERYONE),
        ({"sort": "-name"}, EVERYONE[::-1]),
        ({"q": "RI"}, ["rita"]),
        ({"q": "sandoval"}, ["rita"]),
        ({"q": "100%"}, ["rita"]),
        ({"q": "%"}, ["rita"]),
        ({"q": "acme"}, ["lars"]),
        ({"q": "  "}, EVERYONE),
        ({"q": "x" * 255}, []),
        ({"state": PersonState.STOPPED}, ["emma"]),
        ({"state": PersonState.NOT_ACTIVATED}, ["lars"]),
        ({"state": PersonState.ACTIVE}, ["admin", "carl", "olga", "paul", "rita", "tim", "zoe"]),
        ({"source": "local"}, ["lars"]),
        ({"project": "p1"}, ["emma", "paul", "rita"]),
        ({"project": "p2"}, ["olga", "tim", "zoe"]),
        ({"project": "nowhere"}, []),
        ({"role": "PROJECT_READER"}, ["rita", "tim", "zoe"]),
        ({"role": "PROJECT_READER", "project": "p1"}, ["rita"]),
        ({"role": "none"}, ["lars"]),
        ({"role": "none", "project": "p1"}, ["admin", "carl", "lars", "olga", "tim", "zoe"]),
        ({"q": "i", "role": "PROJECT_READER", "state": PersonState.ACTIVE}, ["rita", "tim"]),
    ],
)
def test_each_filter_selects_what_it_says(people: AccountsHarness, query: dict[str, Any], expected: list[str]) -> None:
    assert names(people, **query) == expected


@pytest.mark.parametrize(("role", "expected"), [("PROJECT_READER", ["rita", "tim", "zoe"]), ("AIZEN_ADMIN", ["admin"])])
def test_a_role_of_many_people_selects_the_same_as_a_rare_one(
    people: AccountsHarness, monkeypatch: pytest.MonkeyPatch, role: str, expected: list[str]
) -> None:
    monkeypatch.setattr("aizen_hub.service.panel.people.listing._MAX_RARE", 0)
    assert names(people, role=role) == expected


@pytest.mark.proves("R72")
def test_what_is_counted_follows_each_change_and_who_reads(people: AccountsHarness) -> None:
    def counts(viewer: str) -> tuple[int, int, int]:
        with people.store.read_as(people.actor(viewer)) as tx:
            shown = Viewer(tx)
            listed = [list_people(shown, PeopleQuery(role=role))[0].total for role in ("PROJECT_EXECUTOR", "none")]
            return listed[0], listed[1], usage.count_assignments(tx, shown.projects).get("PROJECT_EXECUTOR", 0)

    assert [counts("admin"), counts("paul")] == [(1, 1, 1), (1, 0, 1)]
    people.grant("PROJECT_EXECUTOR", "p2", "lars")
    assert [counts("admin"), counts("paul")] == [(2, 0, 2), (1, 0, 1)]
    people.execute(
        OPERATOR, assignments.unauthorized_delete_assignment, "PROJECT_EXECUTOR", "p2", Identity.user("lars")
    )
    assert [counts("admin"), counts("paul")] == [(1, 1, 1), (1, 0, 1)]
    people.execute(OPERATOR, registration.create_user, "nora", provider="local")
    with people.store.read_as(people.actor("admin")) as tx:
        without_role = list_people(Viewer(tx), PeopleQuery(role="none"))[0]
    people.execute(OPERATOR, registration.delete_users, ["nora"])
    assert without_role.total == len(without_role.rows) == 2


@pytest.mark.parametrize("max_rare", [0, 10_000])
def test_what_an_operation_has_staged_is_not_held_yet(
    people: AccountsHarness, monkeypatch: pytest.MonkeyPatch, max_rare: int
) -> None:
    from sqlalchemy import insert

    from aizen_hub.store import tables

    monkeypatch.setattr("aizen_hub.service.panel.people.listing._MAX_RARE", max_rare)
    staged = {"role": "PROJECT_READER", "scope": "p1", "identity": "user:lars", "staged_by": "0" * 32}
    with people.rolled_back() as sandbox, sandbox.write(sandbox.actor("admin")) as tx:
        values = {**staged, "granted_by": "user:admin", "granted": tx.now, "revision": tx.revision}
        tx.conn.execute(insert(tables.assignment_rows).values(values))
        tx.record_change("test", {}, ["*"])
        listed = {role: list_people(Viewer(tx), PeopleQuery(role=role))[1] for role in ("PROJECT_READER", "none")}
    assert {role: [row.name for row in rows] for role, rows in listed.items()} == {
        "PROJECT_READER": ["rita", "tim", "zoe"],
        "none": ["lars"],
    }


def test_holders_of_a_role_of_many_are_counted_in_the_order_of_an_index(people: AccountsHarness) -> None:
    from aizen_hub.service.panel.people import listing

    with people.store.read() as tx:
        plans = query_plans(tx.conn, lambda: listing._count_holders(tx, "PROJECT_READER"))
    own = next(plan for text, plan in plans.items() if "DISTINCT" in text)
    index = "COVERING INDEX ix_assignments_role_identity (role=? AND identity>? AND identity<?)"
    assert f"SEARCH assignments USING {index}" in own, own
    assert not any("B-TREE" in step for step in own), own


def test_who_holds_a_role_in_two_ways_is_counted_once(people: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aizen_hub.service.panel.people.listing._MAX_RARE", 0)
    with people.rolled_back() as sandbox, sandbox.write(sandbox.actor("admin")) as tx:
        for project in ("p1", "p2"):
            assignments.unauthorized_write_assignment(
                tx, "PROJECT_READER", project, Identity.user("zoe"), reason="test"
            )
        page, rows = list_people(Viewer(tx), PeopleQuery(role="PROJECT_READER"))
    assert (page.total, [row.name for row in rows]) == (3, ["rita", "tim", "zoe"])


@pytest.mark.parametrize("max_few", [0, 500])
@pytest.mark.parametrize(
    "query", [{"q": "ri"}, {"q": "i", "role": "PROJECT_READER"}, {"q": "no-such-text"}, {"sort": "-name"}]
)
def test_a_text_of_many_people_finds_the_same_as_one_of_few(
    people: AccountsHarness, monkeypatch: pytest.MonkeyPatch, max_few: int, query: dict[str, Any]
) -> None:
    expected = names(people, **query)
    monkeypatch.setattr("aizen_hub.service.panel.people.listing._MAX_FEW", max_few)
    assert names(people, **query) == expected


def test_all_people_are_gone_through_once_for_a_text_of_few(people: AccountsHarness) -> None:
    with people.store.read_as(people.actor("admin")) as tx:
        plans = query_plans(tx.conn, lambda: list_people(Viewer(tx), PeopleQuery(q="rita")))
    assert [plan for text, plan in plans.items() if "FROM users" in text and "LIKE" in text] == [["SCAN users"]]


def test_the_assignments_of_a_role_are_not_read_for_each_person(people: AccountsHarness) -> None:
    from sqlalchemy import func, select

    from aizen_hub.service.panel.people import listing

    with people.store.read() as tx:
        query = select(func.count()).select_from(listing._u).where(listing._holds_anywhere(tx, "PROJECT_READER"))
        text = query.compile(tx.conn, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    searches = [step for step in plan if step.startswith("SEARCH assignments")]
    assert searches, plan
    assert all("identity=?" in step for step in searches), plan


def test_few_users_are_counted_by_an_index_over_them(people: AccountsHarness) -> None:
    from sqlalchemy import func, select

    from aizen_hub.service.panel.people import listing

    indexes = {PersonState.NOT_ACTIVATED: "ix_users_inactive", PersonState.LEFT: "ix_users_gone_at"}
    with people.store.read() as tx:
        for state, index in indexes.items():
            query = select(func.count()).select_from(listing._u).where(listing._state_condition(tx, state))
            text = query.compile(tx.conn, compile_kwargs={"literal_binds": True})
            plan = [row[3] for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
            assert any(index in step for step in plan), plan


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["emma", "paul", "rita"]),
        ({"q": "z"}, []),
        ({"project": "p2"}, []),
        ({"role": "none"}, []),
        ({"role": "PROJECT_READER"}, ["rita"]),
    ],
)
def test_a_project_admin_sees_the_people_of_their_projects(
    people: AccountsHarness, query: dict[str, Any], expected: list[str]
) -> None:
    assert names(people, "paul", **query) == expected


def test_a_project_admin_sees_members_through_nested_groups_but_no_contact_data(people: AccountsHarness) -> None:
    with people.store.read_as(people.actor("olga")) as tx:
        _, rows = list_people(Viewer(tx), PeopleQuery())
        assert [(row.name, row.email, row.last_seen) for row in rows] == [
            (name, None, None) for name in ("olga", "tim", "zoe")
        ]
        assert all(item.scope == "p2" for row in rows for item in row.roles)


def test_rows_hold_state_roles_and_groups(people: AccountsHarness) -> None:
    with people.store.read_as(people.actor("admin")) as tx:
        viewer = Viewer(tx)
        rows = {row.name: row for row in list_people(viewer, PeopleQuery())[1]}
        assert count_people(viewer) == {"stopped": 1, "not-activated": 1, "left": 0}
    assert rows["emma"].state is PersonState.STOPPED
    assert [(item.role, item.scopes, item.scope) for item in rows["emma"].roles] == [("PROJECT_EXECUTOR", 1, "p1")]
    assert (rows["tim"].roles, rows["tim"].groups) == ((), 1)
    assert rows["lars"].email == "lars@acme.example"


@pytest.mark.parametrize("sort", ["name", "-name", "seen", "-seen"])
def test_pages_follow_one_another_in_both_directions(people: AccountsHarness, sort: str) -> None:
    from sqlalchemy import select

    from aizen_hub.service.panel import paging
    from aizen_hub.service.panel.people import listing

    with people.store.read_as(people.actor("admin")) as tx:
        users = select(listing._u)
        whole = [row.name for row in paging.read_page(tx, users, listing.SORTS, PeopleQuery(sort=sort)).rows]
        seen: list[str] = []
        page = paging.read_page(tx, users, listing.SORTS, PeopleQuery(sort=sort), size=4)
        while True:
            seen += [row.name for row in page.rows]
            if page.next is None:
                break
            page = paging.read_page(tx, users, listing.SORTS, PeopleQuery(sort=sort, after=page.next), size=4)
        assert seen == whole
        back = paging.read_page(tx, users, listing.SORTS, PeopleQuery(sort=sort, before=page.previous), size=4)
        assert [row.name for row in back.rows] == whole[4:8]


def test_an_address_that_is_not_of_this_list_is_refused(people: AccountsHarness) -> None:
    with pytest.raises(BadInput):
        names(people, sort="shoe-size")


@pytest.mark.proves("R72")
@pytest.mark.parametrize("sort", ["seen", "-seen"])
def test_the_order_of_last_sign_ins_is_for_those_who_see_them(people: AccountsHarness, sort: str) -> None:
    with people.store.read_as(people.actor("admin")) as tx:
        assert list_people(Viewer(tx), PeopleQuery(sort=sort))[1]
    with pytest.raises(BadInput), people.store.read_as(people.actor("paul")) as tx:
        list_people(Viewer(tx), PeopleQuery(sort=sort))
