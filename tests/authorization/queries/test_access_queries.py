"""Questions, requests and dry runs: what is answered is what would be decided."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.dry_run import preview
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.queries import access_queries as questions
from aizen_hub.authorization.queries.access_queries import Supposed
from aizen_hub.commands.parser import read
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, Denied, Escalation, LastHolder, NotFound, TooMany
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from tests.accounts.harness import OPERATOR, House

PEOPLE = ("admin", "carl", "paul", "emma", "rita", "zoe", "tim", "olga")


def who_can(town: House, actor: Actor, permission: str, scope: str) -> Result:
    with town.reading() as tx:
        return questions.who_can(tx, actor, permission, scope)


@pytest.mark.proves("R80")
@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.sampled_from(("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")),
                  st.sampled_from(("p1", "p2"))), max_size=6,
    ),
    st.sampled_from(("read:training", "execute:training", "delete:training", "grant:roles", "manage:users")),
    st.sampled_from(("p1", "p2", SYSTEM)),
)  # fmt: skip
def test_who_can_is_everybody_who_can(
    shared_town: House, held: list[tuple[str, str, str]], permission: str, scope: str
) -> None:
    with shared_town.trial() as town:
        for who, role, where in held:
            town.give(role, where, who)
        answer = who_can(town, OPERATOR, permission, scope)
        can = {
            f"user:{who}"
            for who in PEOPLE
            if town.do(OPERATOR, questions.can_i, permission, scope, Identity.user(who)).allowed
        }
        assert {row[0] for row in answer.rows} == can
        for who in PEOPLE:
            why = town.do(OPERATOR, questions.why, permission, scope, Identity.user(who))
            assert why.data["allowed"] == (f"user:{who}" in can)
            assert (why.data["winning"] is not None) == why.data["allowed"]


def test_may_i(town: House) -> None:
    assert town.do("rita", questions.can_i, "read:training", "p1").allowed
    assert not town.do("rita", questions.can_i, "start:training", "p1").allowed
    with pytest.raises(BadInput):
        town.do("rita", questions.can_i, "Not A Permission", "p1")


@pytest.mark.proves("R72")
def test_asking_about_others_or_other_projects_is_for_those_who_may(town: House) -> None:
    tim = Identity.user("tim")
    for who in ("zoe", "olga"):
        for project in ("p1", "p9"):
            with pytest.raises(NotFound):
                town.do(who, questions.can_i, "read:training", project)
    for who in ("rita", "emma", "carl"):
        for work, args in (
            (questions.can_i, ("read:training", "p1", tim)),
            (questions.why, ("read:training", "p1", tim)),
            (questions.what_if, ("read:training", "p1", tim, Supposed())),
        ):
            with pytest.raises(Denied):
                town.do(who, work, *args)
        with pytest.raises(Denied):
            who_can(town, town.actor(who), "read:training", "p1")
    with pytest.raises(NotFound):
        who_can(town, town.actor("zoe"), "read:training", "p1")
    for actor in (town.actor("admin"), OPERATOR):
        # A system role answers in every project there is, and in no other.
        with pytest.raises(NotFound) as caught:
            who_can(town, actor, "read:training", "p9")
        assert caught.value.detail == gate.no_project("p9").detail
    with pytest.raises(Denied, match="acts for somebody else"):
        who_can(town, town.actor("paul", acting=Identity.service_account("x")), "read:training", "p1")
    assert who_can(town, town.actor("paul"), "read:training", "p1").rows
    assert who_can(town, town.actor("admin"), "read:training", "p1").rows


@pytest.mark.proves("R80")
def test_what_if_answers_what_would_be_decided(town: House) -> None:
    tim = Identity.user("tim")
    town.do(OPERATOR, groups.create, "crew")
    town.give("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    for supposed in (
        Supposed(assignments=(("PROJECT_READER", "p1", tim),)),
        Supposed(groups=("crew",)),
    ):
        answer = town.do("paul", questions.what_if, "read:training", "p1", tim, supposed)
        assert (answer.data["allowed"], answer.data["allowed_as_it_is"]) == (True, False)
    assert not town.do("paul", questions.what_if, "read:training", "p1", tim, Supposed()).data["allowed"]
    with pytest.raises(BadInput):
        town.do("paul", questions.what_if, "read", "p1", tim, Supposed(assignments=(("NONE", "p1", tim),)))
    assert town.roles_of("tim", "p1") == set()


@pytest.mark.proves("R64")
def test_what_if_at_another_date(town: House) -> None:
    from aizen_hub.rbac.assignment import Interval

    end = town.now() + timedelta(days=2)
    town.do("paul", assignments.grant, ["PROJECT_READER"], "p1", Identity.user("tim"), interval=Interval(None, end))
    for days, allowed in ((1, True), (2, False), (3, False)):
        at = end + timedelta(days=days - 2)
        answer = town.do("paul", questions.what_if, "read:training", "p1", Identity.user("tim"), Supposed(at=at))
        assert answer.data["allowed"] is allowed


def test_why_names_the_least_role_and_who_could_give_it(town: House) -> None:
    data = town.do("rita", questions.why, "execute:training", "p1").data
    assert (data["allowed"], data["least_role"]) == (False, "PROJECT_EXECUTOR")
    assert data["who_can_grant"] == ["paul", "carl"]
    assert data["others"]


@pytest.mark.proves("R72")
def test_the_projects_of_somebody_else_only_where_one_may_read_access(town: House) -> None:
    town.give("PROJECT_READER", "p2", "rita")
    rita = Identity.user("rita")
    assert [row[0] for row in town.do("rita", questions.projects_of).rows] == ["p1", "p2"]
    assert [row[0] for row in town.do("paul", questions.projects_of, rita).rows] == ["p1"]
    assert [row[0] for row in town.do("admin", questions.projects_of, rita).rows] == ["p1", "p2"]
    assert town.do("zoe", questions.projects_of, rita).rows == ()


def test_list_roles(town: House) -> None:
    town.give("PROJECT_CREATOR", SYSTEM, "paul")
    assert [row[:2] for row in town.run("paul", "list roles").rows] == [("PROJECT_CREATOR", "system")]
    assert [row[:2] for row in town.run("paul", "list roles", project="p1").rows] == [
        ("PROJECT_CREATOR", "system"),
        ("PROJECT_ADMIN", "p1"),
    ]
    assert [row[0] for row in town.run("paul", "list roles for RITA", project="p1").rows] == ["PROJECT_READER"]
    for who, project in (("rita", "p1"), ("carl", "p1"), ("zoe", None), ("olga", None)):
        assert town.refused(who, "list roles for paul", project=project).status in (403, 404)
    assert town.refused("admin", "list roles for ghost").status == 404


def test_a_request_is_asked_approved_and_gone(town: House) -> None:
    until = town.now() + timedelta(days=7)
    asked = town.do("tim", requests.ask, "project_reader", "P1", reason="audit", until=until)
    assert town.do("tim", requests.ask, "PROJECT_READER", "p1").data["request"] == asked.data["request"]
    assert [row[1:4] for row in town.do("paul", requests.to_decide).rows] == [("user:tim", "PROJECT_READER", "p1")]
    for who in ("admin", "emma", "zoe", "olga", "tim"):
        assert town.do(who, requests.to_decide).rows == ()
    town.do("paul", requests.approve, asked.data["request"], comment="welcome")
    with town.reading() as tx:
        (held,) = tx.rights(Identity.user("tim")).held
        assert (held.role, held.interval.ends) == ("PROJECT_READER", until)
        assert requests.mine(tx, Identity.user("tim")).rows[0][3] == "confirmed"
    with pytest.raises(Exception, match="confirmed already"):
        town.do("paul", requests.approve, asked.data["request"])


def test_a_request_is_denied_withdrawn_or_expires(town: House) -> None:
    first = town.do("tim", requests.ask, "PROJECT_READER", "p1").data["request"]
    town.do("paul", requests.deny, first, comment="no")
    second = town.do("tim", requests.ask, "PROJECT_READER", "p1").data["request"]
    with pytest.raises(Denied):
        town.do("paul", requests.withdraw, second)
    town.do("tim", requests.withdraw, second)
    third = town.do("tim", requests.ask, "PROJECT_READER", "p1").data["request"]
    town.do(OPERATOR, lambda tx: tx.conn.execute(update(tables.pending).values(expires=tx.now)))
    with pytest.raises(Exception, match="expired already"):
        town.do("paul", requests.approve, third)
    assert town.do(OPERATOR, pending.expire) == 1
    assert town.roles_of("tim", "p1") == set()


@pytest.mark.proves("R72")
def test_a_request_for_a_project_that_does_not_exist_is_answered_like_any_other(town: House) -> None:
    answers = [town.do("tim", requests.ask, "PROJECT_READER", project) for project in ("p1", "p9")]
    assert answers[0].message.replace("p1", "p9") == answers[1].message
    assert answers[0].data.keys() == answers[1].data.keys()
    assert [row[3] for row in town.do("paul", requests.to_decide).rows] == ["p1"]


def test_requests_are_bounded(town: House) -> None:
    for number in range(requests.MOST_WAITING):
        town.do("tim", requests.ask, "PROJECT_READER", f"q{number}x")
    with pytest.raises(TooMany):
        town.do("tim", requests.ask, "PROJECT_READER", "p1")
    for bad in ("NO_ROLE", ""):
        with pytest.raises(BadInput):
            town.do("zoe", requests.ask, bad, "p1")


def test_a_dry_run_says_who_gains_and_loses_and_changes_nothing(house: House) -> None:
    members = [{"id": "paul", "roles": ["PROJECT_ADMIN"]}, {"id": "rita", "roles": ["PROJECT_EXECUTOR"]}]
    command = read("alter project p1,config=m", house.catalog)
    before = house.state()
    answer = preview(
        house.store,
        house.actor("paul"),
        lambda tx: carry_out.carry_out(tx, command, {"m": json.dumps(members)}),
    )
    assert house.state() == before
    changes = {(row[0], row[1]): (row[2], row[3]) for row in answer.rows}
    assert set(changes) == {("user:emma", "p1"), ("user:rita", "p1")}
    gains, losses = changes["user:rita", "p1"]
    assert "execute:training" in gains
    assert losses == []
    assert "execute:training" in changes["user:emma", "p1"][1]
    assert answer.data["dry_run"] is True


def test_a_dry_run_refuses_what_the_change_would_refuse(house: House) -> None:
    with pytest.raises(LastHolder):
        preview(
            house.store, OPERATOR, lambda tx: assignments.revoke(tx, ["AIZEN_ADMIN"], SYSTEM, Identity.user("admin"))
        )


def test_a_dry_run_sees_through_groups_roles_and_locks(house: House) -> None:
    house.do("admin", groups.create, "crew")
    house.do("admin", groups.add_member, "crew", Identity.user("zoe"))
    house.do("admin", roles.create, "TRAINER", permissions=["execute:training"])
    crew = Identity.group("crew")
    answer = preview(house.store, house.actor("paul"), lambda tx: assignments.grant(tx, ["TRAINER"], "p1", crew))
    assert [(row[0], row[2]) for row in answer.rows] == [("user:zoe", ["enter:project", "execute:training"])]
    house.do("paul", assignments.grant, ["TRAINER"], "p1", crew)
    answer = preview(house.store, OPERATOR, lambda tx: roles.alter(tx, "TRAINER", permissions=["read:training"]))
    assert [row[0] for row in answer.rows] == ["user:zoe"]
    answer = preview(
        house.store, OPERATOR, lambda tx: carry_out.carry_out(tx, read("delete project p1", house.catalog))
    )
    assert {row[0] for row in answer.rows} == {"user:paul", "user:emma", "user:rita", "user:zoe"}


def test_only_who_could_grant_a_request_may_refuse_it(town: House) -> None:
    number = town.do("tim", requests.ask, "PROJECT_READER", "p1").data["request"]
    for who, problem in (("emma", Escalation), ("admin", Escalation), ("zoe", NotFound), ("olga", NotFound)):
        with pytest.raises(problem):
            town.do(who, requests.deny, number)
    town.do("carl", requests.deny, number)


def _requests_of_others(tx: Any, number: int) -> None:
    values = {"kind": pending.REQUEST, "asked_by": "user:zoe", "asked": tx.now - timedelta(days=1), "comment": ""}
    payload = {"role": "AIZEN_ADMIN", "scope": SYSTEM, "reason": "", "until": None}
    more = {"expires": tx.now + timedelta(days=1), "state": "waiting", "payload": payload}
    tx.conn.execute(tables.pending.insert(), [{"id": f"{one:032}", **values, **more} for one in range(number)])


def test_a_request_is_found_behind_any_number_that_one_cannot_grant(
    town: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.do(OPERATOR, _requests_of_others, 2_100)
    for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
        town.do("tim", requests.ask, role, "p1")
    answer = town.do("paul", requests.to_decide)
    assert {row[1:4] for row in answer.rows} == {
        ("user:tim", role, "p1") for role in ("PROJECT_READER", "PROJECT_EXECUTOR")
    }
    assert len(answer.rows) == 2
    assert not answer.data["more"]
    cut = town.do("paul", requests.to_decide, 1)
    assert len(cut.rows) == 1
    assert cut.data["more"]
    assert cut.message == "these are the first 1 of more"
    monkeypatch.setattr(requests, "MOST_LOOKED", 2_000)
    unread = town.do("paul", requests.to_decide)
    assert unread.rows == ()
    assert unread.data["more"]
    assert "2000 oldest" in unread.message


def test_lists_of_what_waits_say_where_they_are_cut(town: House) -> None:
    for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
        town.do("tim", requests.ask, role, "p1")
    for name in ("zoe", "tim"):
        held = town.do(
            town.actor("admin", Road.CLI), assignments.grant, ["AIZEN_ADMIN"], SYSTEM, Identity.user(name), in_file=True
        )
        assert held.pending
    with town.reading() as tx:
        tim = Identity.user("tim")
        for most, more in ((1, True), (2, False)):
            mine, waiting = requests.mine(tx, tim, most), pending.waiting(tx, most=most)
            assert len(mine.rows) == len(waiting.rows) == most
            assert mine.data["more"] is waiting.data["more"] is more
        assert pending.waiting(tx, of=tim).rows == ()
        assert [row[0] for row in pending.waiting(tx, number=held.pending).rows] == [held.pending]
