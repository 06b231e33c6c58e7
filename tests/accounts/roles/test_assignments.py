"""Grants: refusals and their messages, intervals, and protection of the creator's role."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.problems import BadInput, Escalation, LastHolder, NotFound, Problem, ProjectRequired, Stale
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import FAR, OPERATOR, AccountsHarness


@pytest.mark.proves("R66")
def test_a_refusal_lists_what_is_missing_and_who_could(sandbox: AccountsHarness) -> None:
    problem = sandbox.expect_problem("rita", "grant role PROJECT_EXECUTOR to tim", project="p1")
    assert isinstance(problem, Escalation)
    assert any("grant:roles" in one for one in problem.extensions["missing"])
    assert problem.extensions["who_can_grant"] == ["paul", "carl"]
    assert problem.remedy == "ask `paul` or `carl`, who can grant it"
    problem = sandbox.expect_problem("paul", "grant role PROJECT_CREATOR to tim", project="p1")
    assert problem.extensions["who_can_grant"] == ["admin"]


@pytest.mark.proves("R72")
def test_a_grant_in_a_project_that_the_actor_cannot_see(sandbox: AccountsHarness) -> None:
    strange = sandbox.expect_problem("zoe", "grant role PROJECT_READER to tim", project="p1")
    absent = sandbox.expect_problem("zoe", "grant role PROJECT_READER to tim", project="p9")
    assert (strange.status, strange.detail.replace("p1", "p9")) == (404, absent.detail)
    assert strange.extensions == absent.extensions


def test_project_roles_need_a_project(sandbox: AccountsHarness) -> None:
    assert isinstance(sandbox.expect_problem("carl", "grant role PROJECT_READER to tim"), ProjectRequired)
    with pytest.raises(BadInput, match="is a project role"):
        sandbox.execute("carl", assignments.grant_roles, ["PROJECT_READER"], SYSTEM, Identity.user("tim"))


def test_several_roles_are_granted_whole_or_not_at_all(sandbox: AccountsHarness) -> None:
    problem = sandbox.expect_problem("carl", "grant role PROJECT_READER,PROJECT_CREATOR to tim", project="p1")
    assert isinstance(problem, Escalation)
    assert sandbox.roles_of("tim", "p1") == set()
    sandbox.run_command("paul", "grant role PROJECT_READER, PROJECT_EXECUTOR to TIM", project="p1")
    assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER", "PROJECT_EXECUTOR"}


@pytest.mark.parametrize("name", ["ghost", "a b", "group:crew", "*"])
def test_only_registered_identities_receive(sandbox: AccountsHarness, name: str) -> None:
    with pytest.raises(Problem) as caught:
        sandbox.run_command("paul", f'grant role PROJECT_READER to "{name}"', project="p1")
    assert caught.value.status in (400, 404)


def test_an_unknown_role_is_refused_with_a_suggestion(sandbox: AccountsHarness) -> None:
    problem = sandbox.expect_problem("paul", "grant role PROJECT_REDER to tim", project="p1")
    assert problem.remedy == "did you mean PROJECT_READER?"
    sandbox.run_command("paul", "grant role project_reader to tim", project="p1")
    assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER"}


@pytest.mark.proves("R75")
@pytest.mark.parametrize("method", ["revoke", "project file", "shorter"])
def test_the_creator_s_role_goes_only_by_an_admin_of_the_system(sandbox: AccountsHarness, method: str) -> None:
    sandbox.run_command("carl", "create project p3")
    sandbox.grant("PROJECT_ADMIN", "p3", "paul")
    sandbox.grant("PROJECT_ADMIN", "p3", "olga")
    match method:
        case "revoke":
            problem = sandbox.expect_problem("paul", "revoke role PROJECT_ADMIN from carl", project="p3")
        case "project file":
            text = json.dumps([{"id": "paul", "roles": ["PROJECT_ADMIN"]}])
            problem = sandbox.expect_problem("paul", "alter project p3,config=m", files={"m": text})
        case _:
            until = Interval(None, sandbox.now() + FAR)
            with pytest.raises(Escalation) as caught:
                sandbox.execute(
                    "paul", assignments.grant_roles, ["PROJECT_ADMIN"], "p3", Identity.user("carl"), interval=until
                )
            problem = caught.value
    assert isinstance(problem, Escalation)
    assert "AIZEN_ADMIN" in str(problem.extensions["missing"]) + str(problem.faults)
    assert sandbox.roles_of("carl", "p3") == {"PROJECT_ADMIN"}
    sandbox.run_command("admin", "revoke role PROJECT_ADMIN from carl", project="p3")
    assert sandbox.roles_of("carl", "p3") == set()


@pytest.mark.proves("R64")
def test_an_assignment_holds_from_its_start_until_before_its_end(sandbox: AccountsHarness) -> None:
    now = sandbox.now()
    later, end = now + timedelta(hours=1), now + timedelta(hours=2)
    sandbox.execute(
        "paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.user("tim"), interval=Interval(later, end)
    )
    with sandbox.read() as tx:
        (held,) = tx.rights(Identity.user("tim")).held_roles
    assert [held.is_effective(at) for at in (now, later, end - timedelta(microseconds=1), end)] == [
        False,
        True,
        True,
        False,
    ]
    for bad in (Interval(end, later), Interval(None, now - FAR), Interval(later, later)):
        with pytest.raises(BadInput):
            sandbox.execute(
                "paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.user("tim"), interval=bad
            )


def test_who_may_grant_but_not_revoke_cannot_shorten(sandbox: AccountsHarness) -> None:
    tim = Identity.user("tim")
    sandbox.grant("PROJECT_READER", "p1", "tim")
    end = Interval(None, sandbox.now() + timedelta(days=1))
    with pytest.raises(Escalation):
        sandbox.execute("carl", assignments.grant_roles, ["PROJECT_READER"], "p1", tim, interval=end)
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", tim, interval=end)
    sandbox.execute("carl", assignments.grant_roles, ["PROJECT_READER"], "p1", tim)  # longer again


def test_what_is_not_held_cannot_be_revoked(sandbox: AccountsHarness) -> None:
    assert isinstance(sandbox.expect_problem("paul", "revoke role PROJECT_READER from tim", project="p1"), NotFound)
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tim"))
    sandbox.grant("PROJECT_READER", "p1", Identity.group("crew"))
    problem = sandbox.expect_problem("paul", "revoke role PROJECT_READER from tim", project="p1")
    assert problem.remedy is not None
    assert "group:crew" in problem.remedy


@pytest.mark.proves("R70")
def test_an_impersonated_user_grants_nothing(sandbox: AccountsHarness) -> None:
    for text in ("grant role PROJECT_READER to tim", "revoke role PROJECT_READER from rita"):
        problem = sandbox.expect_problem("paul", text, project="p1", acting=Identity.user("zoe"))
        assert problem.status == 403
    assert sandbox.expect_problem("admin", "delete users tim", acting=Identity.user("zoe")).status == 403
    assert sandbox.expect_problem("carl", "create project p5", acting=Identity.user("zoe")).status == 403


@pytest.mark.proves("R66", "T-04", "R67")
def test_granting_a_custom_role_needs_every_right_in_it(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", custom_roles.create_role, "TRAINER", permissions=["execute:training", "read"])
    sandbox.run_command("paul", "grant role TRAINER to tim", project="p1")
    for grantor in ("admin", "carl", "emma", "olga"):
        assert sandbox.expect_problem(grantor, "grant role TRAINER to rita", project="p1").status in (403, 404)
    with pytest.raises(Escalation) as caught:
        sandbox.execute(
            "admin", custom_roles.update_role, "TRAINER", permissions=["execute:training", "read", "delete"]
        )
    assert caught.value.extensions["missing"] == ["delete:* in p1"]
    sandbox.run_command("paul", "revoke role TRAINER from tim", project="p1")
    sandbox.execute("admin", custom_roles.update_role, "TRAINER", permissions=["delete"])  # not assigned any more


@pytest.mark.proves("R69")
def test_the_last_admin_of_a_project_stays(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_ADMIN", "p2", "paul")
    sandbox.run_command("admin", "revoke role PROJECT_ADMIN from olga", project="p2")
    assert isinstance(sandbox.expect_problem("admin", "revoke role PROJECT_ADMIN from paul", project="p2"), LastHolder)


def test_a_self_grant_names_another_grantor(sandbox: AccountsHarness) -> None:
    able = sandbox.expect_problem("paul", "grant role PROJECT_READER to paul", project="p1").extensions["who_can_grant"]
    assert "carl" in able
    assert "paul" not in able


@pytest.mark.proves("R66", "R77")
def test_a_custom_role_that_was_changed_since_is_not_granted_by_a_confirmation(harness: AccountsHarness) -> None:
    """The user who confirms has reviewed what the role contained when it was requested."""
    harness.execute(OPERATOR, custom_roles.create_role, "LISTER", permissions=["list:users"], scopes=["system"])
    permissions = ["manage:roles", "manage:service-accounts", "grant:roles"]
    harness.execute(OPERATOR, custom_roles.create_role, "MAKER", permissions=permissions, scopes=["system"])
    harness.grant("MAKER", SYSTEM, "rita")
    harness.execute("rita", accounts.create_service_account, "robot")
    robot = Identity.service_account("robot")
    early, late = (
        harness.execute("rita", assignments.grant_roles, [role], None, robot).pending_id
        for role in ("LISTER", "lister")
    )
    harness.execute("admin", command_handlers.confirm_pending_change, early)
    assert harness.roles_of(robot) == {"LISTER"}
    harness.execute(OPERATOR, assignments.unauthorized_delete_assignment, "LISTER", SYSTEM, robot)
    harness.execute("rita", custom_roles.update_role, "LISTER", permissions=["manage:users"])
    with pytest.raises(Stale, match="LISTER was changed"):
        harness.execute("admin", command_handlers.confirm_pending_change, late)
    assert harness.roles_of(robot) == set()
