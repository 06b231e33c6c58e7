"""Projects: created, shown, replaced by a file, exported, imported, deleted."""

from __future__ import annotations

import json

import pytest

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import limits
from aizen_hub.accounts.sessions import locks, server_sessions
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
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

MEMBERS = [
    {"id": "paul", "roles": ["PROJECT_ADMIN"], "alerts": []},
    {"id": "emma", "roles": ["PROJECT_EXECUTOR"], "alerts": ["prediction", "training"]},
]


def alter(sandbox: AccountsHarness, who: str, members: object, project: str = "p1", command: str = "alter") -> object:
    return sandbox.run_command(who, f"{command} project {project},config=m", files={"m": json.dumps(members)})


def test_the_file_replaces_users_roles_and_alerts(sandbox: AccountsHarness) -> None:
    result = alter(sandbox, "paul", MEMBERS)
    assert result.data["revoked"] == [["user:rita", "PROJECT_READER"]]  # type: ignore[attr-defined]
    assert sandbox.run_command("paul", "show project p1").data["members"] == sorted(
        MEMBERS, key=lambda one: str(one["id"])
    )
    assert sandbox.roles_of("rita", "p1") == set()
    alter(sandbox, "paul", [*MEMBERS[:1], {"id": "emma", "roles": ["PROJECT_EXECUTOR"]}])
    with sandbox.read() as tx:
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
def test_a_bad_row_changes_nothing(sandbox: AccountsHarness, entry: object, pointer: str) -> None:
    before = sandbox.state()
    with pytest.raises(BadInput) as caught:
        alter(sandbox, "paul", [MEMBERS[0], entry])
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert sandbox.state() == before


@pytest.mark.proves("R69")
def test_a_file_without_an_admin_is_refused(sandbox: AccountsHarness) -> None:
    before = sandbox.state()
    project_admin_roles = sandbox.roles_of("paul", "p1")
    for members in ([], MEMBERS[1:]):
        with pytest.raises((LastHolder, Escalation)):
            alter(sandbox, "paul", members)
    assert (sandbox.state(), sandbox.roles_of("paul", "p1")) == (before, project_admin_roles)


@pytest.mark.proves("R65", "T-27")
@pytest.mark.parametrize("command", ["alter", "importconfig", "delete", "exportconfig", "show"])
@pytest.mark.parametrize("who", ["olga", "zoe", "tim"])
def test_the_named_project_is_checked_not_the_current_one(sandbox: AccountsHarness, command: str, who: str) -> None:
    line = f"{command} project {{}}" + (",config=m" if command in ("alter", "importconfig") else "")
    answers = []
    for project in ("p1", "p9"):
        with pytest.raises(NotFound) as caught:
            sandbox.run_command(who, line.format(project), project="p2", files={"m": json.dumps(MEMBERS)})
        answers.append((caught.value.detail.replace(project, "X"), caught.value.remedy, caught.value.extensions))
    assert answers[0] == answers[1]  # R72: the same words for a project that does not exist


@pytest.mark.proves("T-48")
def test_a_stale_file_is_refused(sandbox: AccountsHarness) -> None:
    first = sandbox.run_command("paul", "exportconfig project p1").data
    sandbox.run_command("paul", "grant role PROJECT_READER to tim", project="p1")
    with pytest.raises(Stale) as caught:
        alter(sandbox, "paul", first, command="importconfig")
    assert caught.value.extensions["version"] > first["version"]
    fresh = sandbox.run_command("paul", "exportconfig project p1").data
    alter(sandbox, "paul", fresh, command="importconfig")
    assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER"}
    from aizen_hub.accounts.projects import members as project_members

    with pytest.raises(Stale):
        sandbox.execute("paul", project_members.replace_members, "p1", json.dumps(MEMBERS), if_match=first["version"])


def test_an_export_imported_again_changes_nothing(sandbox: AccountsHarness) -> None:
    alter(sandbox, "paul", MEMBERS)
    before = sandbox.run_command("paul", "show project p1").data
    alter(sandbox, "paul", sandbox.run_command("paul", "exportconfig project p1").data, command="importconfig")
    after = sandbox.run_command("paul", "show project p1").data
    assert {**before, "version": 0} == {**after, "version": 0}


def test_a_reader_exports_and_sees_no_members(sandbox: AccountsHarness) -> None:
    for user in ("rita", "emma"):
        for text in ("exportconfig project p1", "show project p1"):
            assert "members" not in sandbox.run_command(user, text).data
    assert "members" in sandbox.run_command("paul", "exportconfig project p1").data
    assert sandbox.expect_problem("rita", "importconfig project p1,config=m", files={"m": "[]"}).status == 403


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
def test_a_configuration_must_be_one(sandbox: AccountsHarness, config: object) -> None:
    before = sandbox.state()
    with pytest.raises(BadInput):
        alter(sandbox, "paul", config, command="importconfig")
    assert sandbox.state() == before


def test_import_changes_the_description_alone_where_there_are_no_members(sandbox: AccountsHarness) -> None:
    alter(sandbox, "paul", {"description": "Churn of customers"}, command="importconfig")
    assert sandbox.run_command("rita", "show project p1").data["description"] == "Churn of customers"
    assert sandbox.roles_of("emma", "p1") == {"PROJECT_EXECUTOR"}


@pytest.mark.proves("T-47", "R31")
def test_a_deleted_project_leaves_nothing_and_its_name_stays_reserved(sandbox: AccountsHarness) -> None:
    sandbox.execute(HUB, server_sessions.open_session, "rita", "rita", "", "p1", "b" * 64)
    sandbox.execute("admin", limits.set_limit, Identity.user("rita"), SYSTEM, "jobs", 3)
    sandbox.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="x")
    for user in ("admin", "carl", "emma", "rita"):
        assert sandbox.expect_problem(user, "delete project p1").status in (403, 404)
    sandbox.execute("admin", locks.unlock_target, LockTarget.PROJECT, "p1", reason="over")
    sandbox.run_command("paul", "delete project P1")
    for text in ("create project p1", "create project P1"):
        with pytest.raises(Conflict, match="stays reserved"):
            sandbox.run_command("carl", text)
    with sandbox.read() as tx:
        assert "p1" not in repr(tx.conn.execute(tables.assignments.select()).all())
        assert all(row.ended is not None for row in tx.conn.execute(tables.sessions.select()))


@pytest.mark.proves("R72")
def test_a_list_shows_the_projects_that_the_actor_can_see(sandbox: AccountsHarness) -> None:
    expected = {
        "admin": {"p1", "p2"},
        "carl": {"p1", "p2"},
        "paul": {"p1"},
        "olga": {"p2"},
        "rita": {"p1"},
        "zoe": set(),
    }
    for user, seen in expected.items():
        assert {row[0] for row in sandbox.run_command(user, "list projects").rows} == seen


def test_a_locked_project_is_still_visible_to_its_members_only(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="x")
    assert {row[0] for row in sandbox.run_command("rita", "list projects").rows} == {"p1"}
    assert sandbox.run_command("zoe", "list projects").rows == ()
    assert isinstance(sandbox.expect_problem("zoe", "show project p1"), NotFound)
    assert isinstance(sandbox.expect_problem("rita", "show project p1"), Denied)


def test_the_projects_limit_is_enforced_and_names_its_source(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", limits.set_limit, Identity.user("carl"), SYSTEM, "projects", 2)
    sandbox.run_command("carl", "create project a1")
    sandbox.run_command("carl", "create project a2")
    problem = sandbox.expect_problem("carl", "create project a3")
    assert isinstance(problem, LimitReached)
    assert (problem.extensions["limit"], problem.extensions["used"], problem.extensions["value"]) == ("projects", 2, 2)
    assert "system" in problem.extensions["source"]
    sandbox.run_command("carl", "delete project a1")
    sandbox.run_command("carl", "create project a3")


@pytest.mark.parametrize("name", ["system", "SYSTEM", "all", "../x", "a b", "a/b", ".", "x" * 65])
def test_a_project_s_name_is_usable_as_a_segment(sandbox: AccountsHarness, name: str) -> None:
    with pytest.raises(Problem):
        sandbox.execute("carl", lifecycle.create_project, name)


def test_only_a_creator_creates(sandbox: AccountsHarness) -> None:
    for user in ("admin", "paul", "emma", "rita", "zoe"):
        assert sandbox.expect_problem(user, "create project q1").status == 403
    assert sandbox.run_command("carl", "create project q1").data["role"] == "PROJECT_ADMIN"


def test_a_file_that_fails_leaves_no_project(sandbox: AccountsHarness) -> None:
    sandbox.expect_problem("carl", "create project q1,config=m", files={"m": json.dumps([{"id": "ghost"}])})
    sandbox.run_command("carl", "create project q1")


def test_an_operator_creates_a_project_for_a_user(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, lifecycle.create_project, "q1", owner=Identity.user("tim"))
    assert sandbox.roles_of("tim", "q1") == {"PROJECT_ADMIN"}
    assert [row[0] for row in sandbox.run_command("tim", "list projects").rows] == ["q1"]
