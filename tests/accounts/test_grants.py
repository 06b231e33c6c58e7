"""The grant table, on every road by which a role can change hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from aizen_hub.accounts import assignments, carry_out, groups, requests, roles, service_accounts
from aizen_hub.problems import BadInput, Escalation, LastHolder, NotFound, Problem, ProjectRequired
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Road
from tests.accounts.house import FAR, OPERATOR, House

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


@pytest.mark.proves("R66")
def test_a_refusal_lists_what_is_missing_and_who_could(town: House) -> None:
    problem = town.refused("rita", "grant role PROJECT_EXECUTOR to tim", project="p1")
    assert isinstance(problem, Escalation)
    assert any("grant:roles" in one for one in problem.more["missing"])
    assert problem.more["who_can_grant"] == ["paul", "carl"]
    assert problem.remedy == "ask paul, carl"
    problem = town.refused("paul", "grant role PROJECT_CREATOR to tim", project="p1")
    assert problem.more["who_can_grant"] == ["admin"]


@pytest.mark.proves("R72")
def test_a_grant_in_a_project_that_does_not_exist_for_the_giver(town: House) -> None:
    strange = town.refused("zoe", "grant role PROJECT_READER to tim", project="p1")
    absent = town.refused("zoe", "grant role PROJECT_READER to tim", project="p9")
    assert (strange.status, strange.detail.replace("p1", "p9")) == (404, absent.detail)
    assert strange.more == absent.more


def test_project_roles_need_a_project(town: House) -> None:
    assert isinstance(town.refused("carl", "grant role PROJECT_READER to tim"), ProjectRequired)
    with pytest.raises(BadInput, match="role of projects"):
        town.do("carl", assignments.grant, ["PROJECT_READER"], SYSTEM, Identity.user("tim"))


def test_several_roles_are_granted_whole_or_not_at_all(town: House) -> None:
    problem = town.refused("carl", "grant role PROJECT_READER,PROJECT_CREATOR to tim", project="p1")
    assert isinstance(problem, Escalation)
    assert town.roles_of("tim", "p1") == set()
    town.run("paul", "grant role PROJECT_READER, PROJECT_EXECUTOR to TIM", project="p1")
    assert town.roles_of("tim", "p1") == {"PROJECT_READER", "PROJECT_EXECUTOR"}


@pytest.mark.parametrize("name", ["ghost", "a b", "group:crew", "*"])
def test_only_registered_identities_receive(town: House, name: str) -> None:
    with pytest.raises(Problem) as caught:
        town.run("paul", f'grant role PROJECT_READER to "{name}"', project="p1")
    assert caught.value.status in (400, 404)


def test_an_unknown_role_is_refused_with_a_suggestion(town: House) -> None:
    problem = town.refused("paul", "grant role PROJECT_REDER to tim", project="p1")
    assert problem.remedy == "did you mean PROJECT_READER?"
    town.run("paul", "grant role project_reader to tim", project="p1")
    assert town.roles_of("tim", "p1") == {"PROJECT_READER"}


@pytest.mark.proves("R75")
@pytest.mark.parametrize("road", ["revoke", "project file", "shorter"])
def test_the_creator_s_role_goes_only_by_an_admin_of_the_system(town: House, road: str) -> None:
    town.run("carl", "create project p3")
    town.give("PROJECT_ADMIN", "p3", "paul")
    town.give("PROJECT_ADMIN", "p3", "olga")
    match road:
        case "revoke":
            problem = town.refused("paul", "revoke role PROJECT_ADMIN from carl", project="p3")
        case "project file":
            text = json.dumps([{"id": "paul", "roles": ["PROJECT_ADMIN"]}])
            problem = town.refused("paul", "alter project p3,config=m", files={"m": text})
        case _:
            until = Interval(None, town.now() + FAR)
            with pytest.raises(Escalation) as caught:
                town.do("paul", assignments.grant, ["PROJECT_ADMIN"], "p3", Identity.user("carl"), interval=until)
            problem = caught.value
    assert isinstance(problem, Escalation)
    assert "AIZEN_ADMIN" in str(problem.more["missing"]) + str(problem.faults)
    assert town.roles_of("carl", "p3") == {"PROJECT_ADMIN"}
    town.run("admin", "revoke role PROJECT_ADMIN from carl", project="p3")
    assert town.roles_of("carl", "p3") == set()


@pytest.mark.proves("R64")
def test_an_assignment_holds_from_its_start_until_before_its_end(town: House) -> None:
    now = town.now()
    later, end = now + timedelta(hours=1), now + timedelta(hours=2)
    town.do("paul", assignments.grant, ["PROJECT_READER"], "p1", Identity.user("tim"), interval=Interval(later, end))
    with town.reading() as tx:
        (held,) = tx.rights(Identity.user("tim")).held
    assert [held.gives(at) for at in (now, later, end - timedelta(microseconds=1), end)] == [False, True, True, False]
    for bad in (Interval(end, later), Interval(None, now - FAR), Interval(later, later)):
        with pytest.raises(BadInput):
            town.do("paul", assignments.grant, ["PROJECT_READER"], "p1", Identity.user("tim"), interval=bad)


def test_who_may_grant_but_not_revoke_cannot_shorten(town: House) -> None:
    tim = Identity.user("tim")
    town.give("PROJECT_READER", "p1", "tim")
    end = Interval(None, town.now() + timedelta(days=1))
    with pytest.raises(Escalation):
        town.do("carl", assignments.grant, ["PROJECT_READER"], "p1", tim, interval=end)
    town.do("paul", assignments.grant, ["PROJECT_READER"], "p1", tim, interval=end)
    town.do("carl", assignments.grant, ["PROJECT_READER"], "p1", tim)  # longer again


def test_what_is_not_held_cannot_be_revoked(town: House) -> None:
    assert isinstance(town.refused("paul", "revoke role PROJECT_READER from tim", project="p1"), NotFound)
    town.do(OPERATOR, groups.create, "crew")
    town.do(OPERATOR, groups.add_member, "crew", Identity.user("tim"))
    town.give("PROJECT_READER", "p1", Identity.group("crew"))
    problem = town.refused("paul", "revoke role PROJECT_READER from tim", project="p1")
    assert problem.remedy is not None
    assert "group:crew" in problem.remedy


@pytest.mark.proves("R70")
def test_who_acts_for_somebody_grants_nothing(town: House) -> None:
    for text in ("grant role PROJECT_READER to tim", "revoke role PROJECT_READER from rita"):
        problem = town.refused("paul", text, project="p1", acting=Identity.user("zoe"))
        assert problem.status == 403
    assert town.refused("admin", "delete users tim", acting=Identity.user("zoe")).status == 403
    assert town.refused("carl", "create project p5", acting=Identity.user("zoe")).status == 403


@pytest.mark.parametrize("road", [Road.KERNEL, Road.CLI])
@pytest.mark.proves("R77")
def test_a_protected_role_waits_for_confirmation(town: House, road: Road) -> None:
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"], "username": "Tim"}])
    answer = town.run("admin", "alter users u", files={"u": text}, road=road)
    assert answer.pending
    assert town.roles_of("tim") == set()
    for who, how in (
        ("paul", {}),  # not entitled
        ("admin", {"road": Road.KERNEL}),  # not the panel
        ("admin", {"road": Road.CLI}),
        ("admin", {"fresh_until": None}),  # no fresh sign-in
        ("admin", {"acting": Identity.user("zoe")}),
    ):
        with pytest.raises(Problem):
            town.do(town.actor(who, **how), carry_out.confirm, answer.pending)  # type: ignore[arg-type]
    assert town.roles_of("tim") == set()
    town.do("admin", carry_out.confirm, answer.pending)
    assert town.roles_of("tim") == {"AIZEN_ADMIN"}
    with pytest.raises(Problem, match="confirmed already"):
        town.do("admin", carry_out.confirm, answer.pending)
    assert "Tim" not in str(town.state()["pending"])


@pytest.mark.proves("R77")
def test_in_the_panel_a_protected_role_needs_a_fresh_sign_in(town: House) -> None:
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    problem = town.refused("admin", "alter users u", files={"u": text}, fresh_until=None)
    assert problem.more["reason"] == "fresh-login-required"
    problem = town.refused("admin", "alter users u", files={"u": text}, fresh_until=town.now())
    assert problem.more["reason"] == "fresh-login-required"
    town.run("admin", "alter users u", files={"u": text})
    assert town.roles_of("tim") == {"AIZEN_ADMIN"}


def test_what_a_locked_or_deleted_asker_left_waiting_is_dead(town: House) -> None:
    town.give("AIZEN_ADMIN", SYSTEM, "olga")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    answer = town.run("olga", "alter users u", files={"u": text}, road=Road.KERNEL)
    removal = json.dumps([{"id": "olga", "roles": []}])
    town.run("admin", "alter users u", files={"u": removal})
    with town.reading() as tx:
        assert tx.roles
    town.give("PROJECT_ADMIN", "p2", "tim")
    assert town.run("admin", "delete user olga").data["deleted"] == ["olga"]
    with pytest.raises(Problem, match="rejected already"):
        town.do("admin", carry_out.confirm, answer.pending)


def test_confirmation_can_be_switched_off(make_house: Callable[..., House]) -> None:
    house = make_house(confirm_protected=False)
    house.people("tim")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    assert house.run("admin", "alter users u", files={"u": text}, road=Road.KERNEL).pending is None
    assert house.roles_of("tim") == {"AIZEN_ADMIN"}


@pytest.mark.proves("R66", "T-04", "R67")
def test_a_custom_role_is_granted_by_who_holds_all_of_it(town: House) -> None:
    town.do("admin", roles.create, "TRAINER", permissions=["execute:training", "read"])
    town.run("paul", "grant role TRAINER to tim", project="p1")
    for giver in ("admin", "carl", "emma", "olga"):
        assert town.refused(giver, "grant role TRAINER to rita", project="p1").status in (403, 404)
    with pytest.raises(Escalation) as caught:
        town.do("admin", roles.alter, "TRAINER", permissions=["execute:training", "read", "delete"])
    assert caught.value.more["missing"] == ["delete:* in p1"]
    town.run("paul", "revoke role TRAINER from tim", project="p1")
    town.do("admin", roles.alter, "TRAINER", permissions=["delete"])  # nobody has it now


@pytest.mark.proves("R69")
def test_the_last_admin_of_a_project_stays(town: House) -> None:
    town.give("PROJECT_ADMIN", "p2", "paul")
    town.run("admin", "revoke role PROJECT_ADMIN from olga", project="p2")
    assert isinstance(town.refused("admin", "revoke role PROJECT_ADMIN from paul", project="p2"), LastHolder)
