"""What a grant refuses and says, from when until when it holds, and whose role stays."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.problems import BadInput, Escalation, LastHolder, NotFound, Problem, ProjectRequired
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import FAR, OPERATOR, House


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


def test_who_asks_for_themselves_is_sent_to_somebody_else(town: House) -> None:
    able = town.refused("paul", "grant role PROJECT_READER to paul", project="p1").more["who_can_grant"]
    assert "carl" in able
    assert "paul" not in able
