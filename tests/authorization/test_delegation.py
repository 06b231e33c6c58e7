"""The delegation table: who can grant which role, by every way in which a role can be granted or revoked."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import access_requests, assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.problems import Escalation, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness

GRANTORS = {"admin": "AIZEN_ADMIN", "carl": "PROJECT_CREATOR", "paul": "PROJECT_ADMIN", "emma": "PROJECT_EXECUTOR",
          "rita": "PROJECT_READER", "olga": "PROJECT_ADMIN of another project", "zoe": "nothing"}  # fmt: skip
PROJECT_ROLES = ("PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER")
SYSTEM_ROLES = ("AIZEN_ADMIN", "PROJECT_CREATOR")
ROLES = SYSTEM_ROLES + PROJECT_ROLES

BY_GRANT = {
    ("admin", "AIZEN_ADMIN"), ("admin", "PROJECT_CREATOR"), ("admin", "PROJECT_ADMIN"),
    *(("carl", role) for role in PROJECT_ROLES), *(("paul", role) for role in PROJECT_ROLES),
}  # fmt: skip
BY_REVOKE = {
    ("admin", "AIZEN_ADMIN"), ("admin", "PROJECT_CREATOR"), ("admin", "PROJECT_ADMIN"),
    *(("paul", role) for role in PROJECT_ROLES),
}  # fmt: skip
BY_USERS_FILE = {("admin", role) for role in SYSTEM_ROLES}
BY_PROJECT_FILE = {("paul", role) for role in PROJECT_ROLES}

PAIRS = [(grantor, role) for grantor in GRANTORS for role in ROLES]
pairs = pytest.mark.parametrize(("grantor", "role"), PAIRS, ids=[f"{grantor}-{role}" for grantor, role in PAIRS])


def scope_of(role: str) -> str:
    return SYSTEM if role in SYSTEM_ROLES else "p1"


def succeeds(operation: Callable[[], object]) -> bool:
    try:
        operation()
    except Problem as problem:
        if problem.status not in (400, 403, 404):
            raise
        return False
    return True


@pairs
@pytest.mark.proves("R66", "T-04", "R68")
def test_grant(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    before = sandbox.state()
    succeeded = succeeds(lambda: sandbox.run_command(grantor, f"grant role {role} to tim", project="p1"))
    assert succeeded == ((grantor, role) in BY_GRANT)
    assert (role in sandbox.roles_of("tim", scope_of(role))) == succeeded
    assert succeeded or sandbox.state() == before


@pairs
@pytest.mark.proves("R66", "T-04")
def test_revoke(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    sandbox.grant(role, scope_of(role), "tim")
    before = sandbox.state()
    succeeded = succeeds(lambda: sandbox.run_command(grantor, f"revoke role {role} from tim", project="p1"))
    assert succeeded == ((grantor, role) in BY_REVOKE)
    assert (role in sandbox.roles_of("tim", scope_of(role))) != succeeded
    assert succeeded or sandbox.state() == before


@pairs
@pytest.mark.parametrize("grants", [True, False], ids=["grants", "revokes"])
@pytest.mark.proves("R67", "T-04")
def test_users_file(sandbox: AccountsHarness, grantor: str, role: str, grants: bool) -> None:
    if not grants:
        sandbox.grant(role, scope_of(role), "tim")
    before = sandbox.state()
    text = json.dumps([{"id": "tim", "roles": [role] if grants else []}])
    succeeded = succeeds(lambda: sandbox.run_command(grantor, "alter users u.json", files={"u.json": text}))
    is_project_role = role in PROJECT_ROLES
    assert succeeded == ((grantor, role) in BY_USERS_FILE or (grantor == "admin" and is_project_role and not grants))
    if not is_project_role:
        assert (role in sandbox.roles_of("tim")) == (succeeded == grants)
    assert sandbox.roles_of("tim", "p1") == ({role} if is_project_role and not grants else set())
    assert succeeded or sandbox.state() == before


@pairs
@pytest.mark.parametrize("grants", [True, False], ids=["grants", "revokes"])
@pytest.mark.parametrize("command", ["alter project", "importconfig project"])
@pytest.mark.proves("R67", "T-04", "R65")
def test_project_file(sandbox: AccountsHarness, grantor: str, role: str, grants: bool, command: str) -> None:
    if not grants:
        sandbox.grant(role, scope_of(role), "tim")
    members = [
        {"id": "paul", "roles": ["PROJECT_ADMIN"]},
        {"id": "emma", "roles": ["PROJECT_EXECUTOR"]},
        {"id": "rita", "roles": ["PROJECT_READER"]},
        *([{"id": "tim", "roles": [role]}] if grants else []),
    ]
    before = sandbox.state()
    succeeded = succeeds(
        lambda: sandbox.run_command(
            grantor, f"{command} p1,config=m.json", project="p2", files={"m.json": json.dumps(members)}
        )
    )
    if role in SYSTEM_ROLES and not grants:
        assert succeeded == (grantor == "paul")  # the file does not reach system roles
        assert sandbox.roles_of("tim") == {role}
    else:
        assert succeeded == ((grantor, role) in BY_PROJECT_FILE)
        assert (role in sandbox.roles_of("tim", "p1")) == (succeeded == grants)
    assert succeeded or sandbox.state() == before


@pytest.mark.parametrize("role", PROJECT_ROLES)
@pytest.mark.proves("R67")
def test_members_at_creation(sandbox: AccountsHarness, role: str) -> None:
    text = json.dumps([{"id": "tim", "roles": [role], "alerts": ["training"]}])
    sandbox.run_command("carl", "create project p3,config=m.json", files={"m.json": text})
    assert sandbox.roles_of("tim", "p3") == {role}
    assert sandbox.roles_of("carl", "p3") == {"PROJECT_ADMIN"}
    assert sandbox.expect_problem("paul", "create project p4,config=m.json", files={"m.json": text}).status == 403


@pairs
@pytest.mark.proves("R67", "T-04")
def test_approval_of_a_request(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    request = sandbox.execute("tim", access_requests.request_access, role, scope_of(role))
    before = sandbox.state()
    succeeded = succeeds(lambda: sandbox.execute(grantor, access_requests.approve_request, request.data["request"]))
    assert succeeded == ((grantor, role) in BY_GRANT)
    assert (role in sandbox.roles_of("tim", scope_of(role))) == succeeded
    assert succeeded or sandbox.state() == before


@pairs
@pytest.mark.proves("R67", "T-04")
def test_to_a_group(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tim"))
    crew = Identity.group("crew")
    succeeded = succeeds(lambda: sandbox.execute(grantor, assignments.grant_roles, [role], "p1", crew))
    assert succeeded == ((grantor, role) in BY_GRANT)
    assert (role in sandbox.roles_of("tim", scope_of(role))) == succeeded


@pairs
@pytest.mark.proves("R67", "T-04", "R68")
def test_membership_of_a_group_that_has_the_role(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant(role, scope_of(role), Identity.group("crew"))
    for member in ("tim", grantor):
        succeeded = succeeds(lambda: sandbox.execute(grantor, membership.add_member, "crew", Identity.user(member)))  # noqa: B023
        # Only a user who manages groups and holds every right of the group, and never for themselves.
        assert succeeded == (member == "tim" and (grantor, role) == ("admin", "AIZEN_ADMIN"))


@pairs
@pytest.mark.proves("R67", "T-04", "R68")
def test_a_new_default_group(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant(role, scope_of(role), Identity.group("crew"))
    succeeded = succeeds(lambda: sandbox.execute(grantor, management.set_default_group, "crew", True))
    assert succeeded == ((grantor, role) == ("admin", "AIZEN_ADMIN"))


@pairs
@pytest.mark.proves("R68")
def test_no_user_grants_to_themselves(sandbox: AccountsHarness, grantor: str, role: str) -> None:
    before = sandbox.roles_of(grantor, scope_of(role))
    succeeded = succeeds(lambda: sandbox.run_command(grantor, f"grant role {role} to {grantor}", project="p1"))
    assert succeeded == ((grantor, role) == ("admin", "PROJECT_CREATOR"))
    assert sandbox.roles_of(grantor, scope_of(role)) == before | ({role} if succeeded else set())


@pytest.mark.parametrize("role", PROJECT_ROLES)
@pytest.mark.proves("R68")
def test_no_user_grants_to_a_group_or_service_account_of_their_own(sandbox: AccountsHarness, role: str) -> None:
    sandbox.execute(OPERATOR, management.create_group, "inner")
    sandbox.execute(OPERATOR, management.create_group, "outer")
    sandbox.execute(OPERATOR, membership.add_member, "inner", Identity.user("paul"))
    sandbox.execute(OPERATOR, membership.add_member, "outer", Identity.group("inner"))
    sandbox.execute("admin", accounts.create_service_account, "robot")
    for group in ("inner", "outer"):
        with pytest.raises(Escalation, match="yourself"):
            sandbox.execute("paul", assignments.grant_roles, [role], "p1", Identity.group(group))
    result = sandbox.execute(
        "admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.service_account("robot")
    )
    assert result.pending_id, "a second user has to confirm it"
    sandbox.execute(
        "paul", assignments.grant_roles, [role], "p1", Identity.service_account("robot")
    )  # not controlled by paul


@pytest.mark.proves("R68")
def test_no_user_grants_to_a_group_with_a_service_account_of_their_own(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", accounts.create_service_account, "robot")
    sandbox.execute("admin", management.create_group, "crew")
    sandbox.execute("admin", membership.add_member, "crew", Identity.service_account("robot"))
    sandbox.execute("admin", management.create_group, "outer")
    sandbox.execute("admin", membership.add_member, "outer", Identity.group("crew"))
    for name in ("crew", "outer"):
        with pytest.raises(Escalation):
            sandbox.execute("admin", assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.group(name))


@pytest.mark.proves("R67")
def test_no_credential_is_issued_for_an_account_with_more_rights(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", accounts.create_service_account, "robot")
    sandbox.execute("paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.service_account("robot"))
    result = sandbox.execute("admin", credentials.issue_credential, "robot")
    assert "credential" not in result.data
    with pytest.raises(Escalation, match="every right"):
        sandbox.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
