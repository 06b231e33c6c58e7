"""Projects: made, shown, replaced by a file, exported, imported, deleted."""

from __future__ import annotations

import json

import pytest

from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.problems import (
    BadInput,
    Conflict,
    Denied,
    Escalation,
    LastHolder,
    LimitReached,
    NotFound,
    Problem,
    Stale,
)
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, House

MEMBERS = [
    {"id": "paul", "roles": ["PROJECT_ADMIN"], "alerts": []},
    {"id": "emma", "roles": ["PROJECT_EXECUTOR"], "alerts": ["prediction", "training"]},
]


def alter(town: House, who: str, members: object, project: str = "p1", command: str = "alter") -> object:
    return town.run(who, f"{command} project {project},config=m", files={"m": json.dumps(members)})


def test_the_file_replaces_users_roles_and_alerts(town: House) -> None:
    answer = alter(town, "paul", MEMBERS)
    assert answer.data["taken"] == [["user:rita", "PROJECT_READER"]]  # type: ignore[attr-defined]
    assert town.run("paul", "show project p1").data["members"] == sorted(MEMBERS, key=lambda one: str(one["id"]))
    assert town.roles_of("rita", "p1") == set()
    alter(town, "paul", [*MEMBERS[:1], {"id": "emma", "roles": ["PROJECT_EXECUTOR"]}])
    with town.reading() as tx:
        assert tx.conn.execute(tables.project_alerts.select()).all() == []


FAULTS = [
    ({"id": "ghost"}, "/1/id"),
    ({"id": "PAUL"}, "/1/id"),
    ({"id": "tim", "roles": ["PROJECT_CREATOR"]}, "/1/roles/0"),
    ({"id": "tim", "alerts": ["nothing"]}, "/1/alerts/0"),
    ({"id": "tim", "role": []}, "/1/role"),
]


@pytest.mark.proves("R74", "R76")
@pytest.mark.parametrize(("entry", "pointer"), FAULTS, ids=[json.dumps(one[0]) for one in FAULTS])
def test_a_bad_row_changes_nothing(town: House, entry: object, pointer: str) -> None:
    before = town.state()
    with pytest.raises(BadInput) as caught:
        alter(town, "paul", [MEMBERS[0], entry])
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert town.state() == before


@pytest.mark.proves("R69")
def test_a_file_without_an_admin_is_refused(town: House) -> None:
    before = town.state()
    town_admin = town.roles_of("paul", "p1")
    for members in ([], MEMBERS[1:]):
        with pytest.raises((LastHolder, Escalation)):
            alter(town, "paul", members)
    assert (town.state(), town.roles_of("paul", "p1")) == (before, town_admin)


@pytest.mark.proves("R65", "T-27")
@pytest.mark.parametrize("command", ["alter", "importconfig", "delete", "exportconfig", "show"])
@pytest.mark.parametrize("who", ["olga", "zoe", "tim"])
def test_the_named_project_is_judged_not_the_current_one(town: House, command: str, who: str) -> None:
    line = f"{command} project {{}}" + (",config=m" if command in ("alter", "importconfig") else "")
    answers = []
    for project in ("p1", "p9"):
        with pytest.raises(NotFound) as caught:
            town.run(who, line.format(project), project="p2", files={"m": json.dumps(MEMBERS)})
        answers.append((caught.value.detail.replace(project, "X"), caught.value.remedy, caught.value.more))
    assert answers[0] == answers[1]  # R72: the same words for a project that does not exist


@pytest.mark.proves("T-48")
def test_a_stale_file_is_refused(town: House) -> None:
    first = town.run("paul", "exportconfig project p1").data
    town.run("paul", "grant role PROJECT_READER to tim", project="p1")
    with pytest.raises(Stale) as caught:
        alter(town, "paul", first, command="importconfig")
    assert caught.value.more["version"] > first["version"]
    fresh = town.run("paul", "exportconfig project p1").data
    alter(town, "paul", fresh, command="importconfig")
    assert town.roles_of("tim", "p1") == {"PROJECT_READER"}
    from aizen_hub.accounts.projects import members as project_members

    with pytest.raises(Stale):
        town.do("paul", project_members.replace, "p1", json.dumps(MEMBERS), if_match=first["version"])


def test_an_export_imported_again_changes_nothing(town: House) -> None:
    alter(town, "paul", MEMBERS)
    before = town.run("paul", "show project p1").data
    alter(town, "paul", town.run("paul", "exportconfig project p1").data, command="importconfig")
    after = town.run("paul", "show project p1").data
    assert {**before, "version": 0} == {**after, "version": 0}


def test_a_reader_exports_and_sees_no_members(town: House) -> None:
    for who in ("rita", "emma"):
        for text in ("exportconfig project p1", "show project p1"):
            assert "members" not in town.run(who, text).data
    assert "members" in town.run("paul", "exportconfig project p1").data
    assert town.refused("rita", "importconfig project p1,config=m", files={"m": "[]"}).status == 403


@pytest.mark.parametrize(
    "config",
    [
        {"project": "p2", "members": []},
        {"members": "x"},
        {"version": "1"},
        {"version": True},
        {"description": 3},
        {"created_by": "me"},
        "text",
        3,
    ],
    ids=str,
)
def test_a_configuration_must_be_one(town: House, config: object) -> None:
    before = town.state()
    with pytest.raises(BadInput):
        alter(town, "paul", config, command="importconfig")
    assert town.state() == before


def test_import_changes_the_description_alone_where_there_are_no_members(town: House) -> None:
    alter(town, "paul", {"description": "Churn of customers"}, command="importconfig")
    assert town.run("rita", "show project p1").data["description"] == "Churn of customers"
    assert town.roles_of("emma", "p1") == {"PROJECT_EXECUTOR"}


@pytest.mark.proves("T-47", "R31")
def test_a_deleted_project_leaves_nothing_and_its_name_stays_reserved(town: House) -> None:
    town.do(HUB, sessions.open, "rita", "rita", "", "p1", "b" * 64)
    town.do("admin", limits.put, Identity.user("rita"), SYSTEM, "jobs", 3)
    town.do("admin", locks.lock, LockTarget.PROJECT, "p1", reason="x")
    for who in ("admin", "carl", "emma", "rita"):
        assert town.refused(who, "delete project p1").status in (403, 404)
    town.do("admin", locks.unlock, LockTarget.PROJECT, "p1")
    town.run("paul", "delete project P1")
    for text in ("create project p1", "create project P1"):
        with pytest.raises(Conflict, match="stays reserved"):
            town.run("carl", text)
    with town.reading() as tx:
        assert "p1" not in repr(tx.conn.execute(tables.assignments.select()).all())
        assert all(row.ended is not None for row in tx.conn.execute(tables.sessions.select()))


@pytest.mark.proves("R72")
def test_a_listing_shows_what_exists_for_the_asker(town: House) -> None:
    expected = {
        "admin": {"p1", "p2"},
        "carl": {"p1", "p2"},
        "paul": {"p1"},
        "olga": {"p2"},
        "rita": {"p1"},
        "zoe": set(),
    }
    for who, seen in expected.items():
        assert {row[0] for row in town.run(who, "list projects").rows} == seen


def test_a_locked_project_is_still_known_to_its_people_and_to_nobody_else(town: House) -> None:
    town.do("admin", locks.lock, LockTarget.PROJECT, "p1", reason="x")
    assert {row[0] for row in town.run("rita", "list projects").rows} == {"p1"}
    assert town.run("zoe", "list projects").rows == ()
    assert isinstance(town.refused("zoe", "show project p1"), NotFound)
    assert isinstance(town.refused("rita", "show project p1"), Denied)


def test_the_projects_limit_is_enforced_and_names_its_source(town: House) -> None:
    town.do("admin", limits.put, Identity.user("carl"), SYSTEM, "projects", 2)
    town.run("carl", "create project a1")
    town.run("carl", "create project a2")
    problem = town.refused("carl", "create project a3")
    assert isinstance(problem, LimitReached)
    assert (problem.more["limit"], problem.more["used"], problem.more["value"]) == ("projects", 2, 2)
    assert "system" in problem.more["source"]
    town.run("carl", "delete project a1")
    town.run("carl", "create project a3")


@pytest.mark.parametrize("name", ["system", "SYSTEM", "all", "../x", "a b", "a/b", ".", "x" * 65])
def test_a_project_s_name_is_usable_as_a_segment(town: House, name: str) -> None:
    with pytest.raises(Problem):
        town.do("carl", projects.create, name)


def test_only_a_creator_creates(town: House) -> None:
    for who in ("admin", "paul", "emma", "rita", "zoe"):
        assert town.refused(who, "create project q1").status == 403
    assert town.run("carl", "create project q1").data["role"] == "PROJECT_ADMIN"


def test_a_file_that_fails_leaves_no_project(town: House) -> None:
    town.refused("carl", "create project q1,config=m", files={"m": json.dumps([{"id": "ghost"}])})
    town.run("carl", "create project q1")


def test_an_operator_makes_a_project_for_somebody(town: House) -> None:
    town.do(OPERATOR, projects.create, "q1", owner=Identity.user("tim"))
    assert town.roles_of("tim", "q1") == {"PROJECT_ADMIN"}
    assert [row[0] for row in town.run("tim", "list projects").rows] == ["q1"]
