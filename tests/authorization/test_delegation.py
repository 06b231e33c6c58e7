"""The grant table, on every road by which a role can change hands."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.problems import Escalation, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, House

GIVERS = {"admin": "AIZEN_ADMIN", "carl": "PROJECT_CREATOR", "paul": "PROJECT_ADMIN", "emma": "PROJECT_EXECUTOR",
          "rita": "PROJECT_READER", "olga": "PROJECT_ADMIN of another project", "zoe": "nothing"}  # fmt: skip
PROJECT_ROLES = ("PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER")
SYSTEM_ROLES = ("AIZEN_ADMIN", "PROJECT_CREATOR")
ROLES = SYSTEM_ROLES + PROJECT_ROLES

BY_GRANT = {
    ("admin", "PROJECT_CREATOR"), ("admin", "PROJECT_ADMIN"),
    *(("carl", role) for role in PROJECT_ROLES), *(("paul", role) for role in PROJECT_ROLES),
}  # fmt: skip
BY_REVOKE = {
    ("admin", "PROJECT_CREATOR"), ("admin", "PROJECT_ADMIN"), *(("paul", role) for role in PROJECT_ROLES),
}  # fmt: skip
BY_USERS_FILE = {("admin", role) for role in SYSTEM_ROLES}
BY_PROJECT_FILE = {("paul", role) for role in PROJECT_ROLES}

PAIRS = [(giver, role) for giver in GIVERS for role in ROLES]
pairs = pytest.mark.parametrize(("giver", "role"), PAIRS, ids=[f"{giver}-{role}" for giver, role in PAIRS])


def scope_of(role: str) -> str:
    return SYSTEM if role in SYSTEM_ROLES else "p1"


def succeeds(work: Callable[[], object]) -> bool:
    try:
        work()
    except Problem as problem:
        if problem.status not in (400, 403, 404):
            raise
        return False
    return True


@pairs
@pytest.mark.proves("R66", "T-04", "R68")
def test_grant(town: House, giver: str, role: str) -> None:
    before = town.state()
    done = succeeds(lambda: town.run(giver, f"grant role {role} to tim", project="p1"))
    assert done == ((giver, role) in BY_GRANT)
    assert (role in town.roles_of("tim", scope_of(role))) == done
    assert done or town.state() == before


@pairs
@pytest.mark.proves("R66", "T-04")
def test_revoke(town: House, giver: str, role: str) -> None:
    town.give(role, scope_of(role), "tim")
    before = town.state()
    done = succeeds(lambda: town.run(giver, f"revoke role {role} from tim", project="p1"))
    assert done == ((giver, role) in BY_REVOKE)
    assert (role in town.roles_of("tim", scope_of(role))) != done
    assert done or town.state() == before


@pairs
@pytest.mark.parametrize("gives", [True, False], ids=["gives", "takes"])
@pytest.mark.proves("R67", "T-04")
def test_users_file(town: House, giver: str, role: str, gives: bool) -> None:
    if not gives:
        town.give(role, scope_of(role), "tim")
    before = town.state()
    text = json.dumps([{"id": "tim", "roles": [role] if gives else []}])
    done = succeeds(lambda: town.run(giver, "alter users u.json", files={"u.json": text}))
    wrong_scope = role in PROJECT_ROLES
    assert done == ((giver, role) in BY_USERS_FILE or (giver == "admin" and wrong_scope and not gives))
    if not wrong_scope:
        assert (role in town.roles_of("tim")) == (done == gives)
    assert town.roles_of("tim", "p1") == ({role} if wrong_scope and not gives else set())
    assert done or town.state() == before


@pairs
@pytest.mark.parametrize("gives", [True, False], ids=["gives", "takes"])
@pytest.mark.parametrize("command", ["alter project", "importconfig project"])
@pytest.mark.proves("R67", "T-04", "R65")
def test_project_file(town: House, giver: str, role: str, gives: bool, command: str) -> None:
    if not gives:
        town.give(role, scope_of(role), "tim")
    members = [
        {"id": "paul", "roles": ["PROJECT_ADMIN"]},
        {"id": "emma", "roles": ["PROJECT_EXECUTOR"]},
        {"id": "rita", "roles": ["PROJECT_READER"]},
        *([{"id": "tim", "roles": [role]}] if gives else []),
    ]
    before = town.state()
    done = succeeds(
        lambda: town.run(giver, f"{command} p1,config=m.json", project="p2", files={"m.json": json.dumps(members)})
    )
    if role in SYSTEM_ROLES and not gives:
        assert done == (giver == "paul")  # the file does not reach system roles
        assert town.roles_of("tim") == {role}
    else:
        assert done == ((giver, role) in BY_PROJECT_FILE)
        assert (role in town.roles_of("tim", "p1")) == (done == gives)
    assert done or town.state() == before


@pytest.mark.parametrize("role", PROJECT_ROLES)
@pytest.mark.proves("R67")
def test_members_at_creation(town: House, role: str) -> None:
    text = json.dumps([{"id": "tim", "roles": [role], "alerts": ["training"]}])
    town.run("carl", "create project p3,config=m.json", files={"m.json": text})
    assert town.roles_of("tim", "p3") == {role}
    assert town.roles_of("carl", "p3") == {"PROJECT_ADMIN"}
    assert town.refused("paul", "create project p4,config=m.json", files={"m.json": text}).status == 403


@pairs
@pytest.mark.proves("R67", "T-04")
def test_approval_of_a_request(town: House, giver: str, role: str) -> None:
    asked = town.do("tim", requests.ask, role, scope_of(role))
    before = town.state()
    done = succeeds(lambda: town.do(giver, requests.approve, asked.data["request"]))
    assert done == ((giver, role) in BY_GRANT)
    assert (role in town.roles_of("tim", scope_of(role))) == done
    assert done or town.state() == before


@pairs
@pytest.mark.proves("R67", "T-04")
def test_to_a_group(town: House, giver: str, role: str) -> None:
    town.do(OPERATOR, groups.create, "crew")
    town.do(OPERATOR, groups.add_member, "crew", Identity.user("tim"))
    crew = Identity.group("crew")
    done = succeeds(lambda: town.do(giver, assignments.grant, [role], "p1", crew))
    assert done == ((giver, role) in BY_GRANT)
    assert (role in town.roles_of("tim", scope_of(role))) == done


@pairs
@pytest.mark.proves("R67", "T-04", "R68")
def test_membership_of_a_group_that_has_the_role(town: House, giver: str, role: str) -> None:
    town.do(OPERATOR, groups.create, "crew")
    town.give(role, scope_of(role), Identity.group("crew"))
    for member in ("tim", giver):
        done = succeeds(lambda: town.do(giver, groups.add_member, "crew", Identity.user(member)))  # noqa: B023
        # Only who manages groups and holds all that the group holds; and never for themselves.
        assert done == (member == "tim" and (giver, role) == ("admin", "AIZEN_ADMIN"))


@pairs
@pytest.mark.proves("R67", "T-04", "R68")
def test_a_new_default_group(town: House, giver: str, role: str) -> None:
    town.do(OPERATOR, groups.create, "crew")
    town.give(role, scope_of(role), Identity.group("crew"))
    done = succeeds(lambda: town.do(giver, groups.set_default, "crew", True))
    assert done == ((giver, role) == ("admin", "AIZEN_ADMIN"))


@pairs
@pytest.mark.proves("R68")
def test_nobody_gives_to_themselves(town: House, giver: str, role: str) -> None:
    before = town.roles_of(giver, scope_of(role))
    done = succeeds(lambda: town.run(giver, f"grant role {role} to {giver}", project="p1"))
    assert done == ((giver, role) == ("admin", "PROJECT_CREATOR"))
    assert town.roles_of(giver, scope_of(role)) == before | ({role} if done else set())


@pytest.mark.parametrize("role", PROJECT_ROLES)
@pytest.mark.proves("R68")
def test_nobody_gives_to_an_own_group_or_service_account(town: House, role: str) -> None:
    town.do(OPERATOR, groups.create, "inner")
    town.do(OPERATOR, groups.create, "outer")
    town.do(OPERATOR, groups.add_member, "inner", Identity.user("paul"))
    town.do(OPERATOR, groups.add_member, "outer", Identity.group("inner"))
    town.do("admin", service_accounts.create, "robot")
    for own in ("inner", "outer"):
        with pytest.raises(Escalation, match="themselves"):
            town.do("paul", assignments.grant, [role], "p1", Identity.group(own))
    with pytest.raises(Escalation):
        town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", Identity.service_account("robot"))
    town.do("paul", assignments.grant, [role], "p1", Identity.service_account("robot"))  # not his


@pytest.mark.proves("R68")
def test_nobody_gives_to_a_group_that_holds_an_own_service_account(town: House) -> None:
    town.do("admin", service_accounts.create, "robot")
    town.do("admin", groups.create, "crew")
    town.do("admin", groups.add_member, "crew", Identity.service_account("robot"))
    town.do("admin", groups.create, "outer")
    town.do("admin", groups.add_member, "outer", Identity.group("crew"))
    for name in ("crew", "outer"):
        with pytest.raises(Escalation):
            town.do("admin", assignments.grant, ["PROJECT_ADMIN"], "p1", Identity.group(name))


@pytest.mark.proves("R67")
def test_the_credential_of_an_account_with_more_rights_is_not_made(town: House) -> None:
    town.do("admin", service_accounts.create, "robot")
    town.do("paul", assignments.grant, ["PROJECT_READER"], "p1", Identity.service_account("robot"))
    with pytest.raises(Escalation, match="every right"):
        town.do("admin", service_accounts.issue, "robot")
