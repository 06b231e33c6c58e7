"""Access queries, access requests and dry runs: the answers are those of the decision engine."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from aizen_hub.accounts import command_handlers, pending_changes
from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries import access_queries
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState
from aizen_hub.commands.parser import parse_command
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, Denied, Escalation, LastHolder, NotFound, TooManyRequests
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.accounts.harness import OPERATOR, AccountsHarness

USERS = ("admin", "carl", "paul", "emma", "rita", "zoe", "tim", "olga")


def who_can(sandbox: AccountsHarness, actor: Actor, permission: str, scope: str) -> Result:
    with sandbox.read() as tx:
        return access_queries.who_can(tx, actor, permission, scope)


@pytest.mark.proves("R80")
@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(USERS), st.sampled_from(("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")),
                  st.sampled_from(("p1", "p2"))), max_size=6,
    ),
    st.sampled_from(("read:training", "execute:training", "delete:training", "grant:roles", "manage:users")),
    st.sampled_from(("p1", "p2", SYSTEM)),
)  # fmt: skip
def test_who_can_lists_exactly_the_users_who_can(
    shared_harness: AccountsHarness, held: list[tuple[str, str, str]], permission: str, scope: str
) -> None:
    with shared_harness.rolled_back() as sandbox:
        for user, role, role_scope in held:
            sandbox.grant(role, role_scope, user)
        answer = who_can(sandbox, OPERATOR, permission, scope)
        allowed = {
            f"user:{who}"
            for who in USERS
            if sandbox.execute(OPERATOR, access_queries.can_i, permission, scope, Identity.user(who)).allowed
        }
        assert {row[0] for row in answer.rows} == allowed
        for who in USERS:
            explanation = sandbox.execute(
                OPERATOR, access_queries.explain_access, permission, scope, Identity.user(who)
            )
            assert explanation.data["allowed"] == (f"user:{who}" in allowed)
            assert (explanation.data["winning"] is not None) == explanation.data["allowed"]


def test_can_i(sandbox: AccountsHarness) -> None:
    assert sandbox.execute("rita", access_queries.can_i, "read:training", "p1").allowed
    assert not sandbox.execute("rita", access_queries.can_i, "start:training", "p1").allowed
    with pytest.raises(BadInput):
        sandbox.execute("rita", access_queries.can_i, "Not A Permission", "p1")


@pytest.mark.proves("R72")
def test_queries_about_other_users_or_projects_need_permission(sandbox: AccountsHarness) -> None:
    tim = Identity.user("tim")
    for who in ("zoe", "olga"):
        for project in ("p1", "p9"):
            with pytest.raises(NotFound):
                sandbox.execute(who, access_queries.can_i, "read:training", project)
    for who in ("rita", "emma", "carl"):
        for query, args in (
            (access_queries.can_i, ("read:training", "p1", tim)),
            (access_queries.explain_access, ("read:training", "p1", tim)),
            (access_queries.what_if, ("read:training", "p1", tim, HypotheticalState())),
        ):
            with pytest.raises(Denied):
                sandbox.execute(who, query, *args)
        with pytest.raises(Denied):
            who_can(sandbox, sandbox.actor(who), "read:training", "p1")
    with pytest.raises(NotFound):
        who_can(sandbox, sandbox.actor("zoe"), "read:training", "p1")
    for actor in (sandbox.actor("admin"), OPERATOR):
        # A system role applies in every project that exists, and in no other.
        with pytest.raises(NotFound) as caught:
            who_can(sandbox, actor, "read:training", "p9")
        assert caught.value.detail == checks.project_not_found("p9").detail
    with pytest.raises(Denied, match="acting for another user"):
        who_can(sandbox, sandbox.actor("paul", acting=Identity.service_account("x")), "read:training", "p1")
    assert who_can(sandbox, sandbox.actor("paul"), "read:training", "p1").rows
    assert who_can(sandbox, sandbox.actor("admin"), "read:training", "p1").rows


@pytest.mark.proves("R80")
def test_what_if_answers_like_a_decision_in_that_state(sandbox: AccountsHarness) -> None:
    tim = Identity.user("tim")
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    for hypothesis in (
        HypotheticalState(assignments=(("PROJECT_READER", "p1", tim),)),
        HypotheticalState(groups=("crew",)),
    ):
        answer = sandbox.execute("paul", access_queries.what_if, "read:training", "p1", tim, hypothesis)
        assert (answer.data["allowed"], answer.data["allowed_now"]) == (True, False)
    assert not sandbox.execute("paul", access_queries.what_if, "read:training", "p1", tim, HypotheticalState()).data[
        "allowed"
    ]
    with pytest.raises(BadInput):
        sandbox.execute(
            "paul", access_queries.what_if, "read", "p1", tim, HypotheticalState(assignments=(("NONE", "p1", tim),))
        )
    assert sandbox.roles_of("tim", "p1") == set()


@pytest.mark.proves("R64")
def test_what_if_at_another_time(sandbox: AccountsHarness) -> None:
    from aizen_hub.rbac.assignment import Interval

    end = sandbox.now() + timedelta(days=2)
    sandbox.execute(
        "paul", assignments.grant_roles, ["PROJECT_READER"], "p1", Identity.user("tim"), interval=Interval(None, end)
    )
    for days, allowed in ((1, True), (2, False), (3, False)):
        at = end + timedelta(days=days - 2)
        answer = sandbox.execute(
            "paul", access_queries.what_if, "read:training", "p1", Identity.user("tim"), HypotheticalState(at=at)
        )
        assert answer.data["allowed"] is allowed


def test_an_explanation_names_the_least_role_and_who_could_grant_it(sandbox: AccountsHarness) -> None:
    data = sandbox.execute("rita", access_queries.explain_access, "execute:training", "p1").data
    assert (data["allowed"], data["least_role"]) == (False, "PROJECT_EXECUTOR")
    assert data["who_can_grant"] == ["paul", "carl"]
    assert data["others"]


@pytest.mark.proves("R72")
def test_projects_of_another_user_are_listed_only_where_access_may_be_read(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_READER", "p2", "rita")
    rita = Identity.user("rita")
    assert [row[0] for row in sandbox.execute("rita", access_queries.list_projects_of).rows] == ["p1", "p2"]
    assert [row[0] for row in sandbox.execute("paul", access_queries.list_projects_of, rita).rows] == ["p1"]
    assert [row[0] for row in sandbox.execute("admin", access_queries.list_projects_of, rita).rows] == ["p1", "p2"]
    assert sandbox.execute("zoe", access_queries.list_projects_of, rita).rows == ()


def test_list_roles(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_CREATOR", SYSTEM, "paul")
    assert [row[:2] for row in sandbox.run_command("paul", "list roles").rows] == [("PROJECT_CREATOR", "system")]
    assert [row[:2] for row in sandbox.run_command("paul", "list roles", project="p1").rows] == [
        ("PROJECT_CREATOR", "system"),
        ("PROJECT_ADMIN", "p1"),
    ]
    assert [row[0] for row in sandbox.run_command("paul", "list roles for RITA", project="p1").rows] == [
        "PROJECT_READER"
    ]
    for who, project in (("rita", "p1"), ("carl", "p1"), ("zoe", None), ("olga", None)):
        assert sandbox.expect_problem(who, "list roles for paul", project=project).status in (403, 404)
    assert sandbox.expect_problem("admin", "list roles for ghost").status == 404


def test_a_request_is_made_approved_and_settled(sandbox: AccountsHarness) -> None:
    until = sandbox.now() + timedelta(days=7)
    request = sandbox.execute(
        "tim", access_requests.request_access, "project_reader", "P1", reason="audit", until=until
    )
    assert (
        sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1").data["request"]
        == request.data["request"]
    )
    assert [row[1:4] for row in sandbox.execute("paul", access_requests.list_decidable_requests).rows] == [
        ("user:tim", "PROJECT_READER", "p1")
    ]
    for who in ("admin", "emma", "zoe", "olga", "tim"):
        assert sandbox.execute(who, access_requests.list_decidable_requests).rows == ()
    sandbox.execute("paul", access_requests.approve_request, request.data["request"], comment="welcome")
    with sandbox.read() as tx:
        (held,) = tx.rights(Identity.user("tim")).held_roles
        assert (held.role, held.interval.ends) == ("PROJECT_READER", until)
        assert access_requests.list_own_requests(tx, Identity.user("tim")).rows[0][3] == "confirmed"
    with pytest.raises(Exception, match="already confirmed"):
        sandbox.execute("paul", access_requests.approve_request, request.data["request"])


def test_a_request_is_denied_withdrawn_or_expires(sandbox: AccountsHarness) -> None:
    first = sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1").data["request"]
    sandbox.execute("paul", access_requests.deny_request, first, comment="no")
    second = sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1").data["request"]
    with pytest.raises(Denied):
        sandbox.execute("paul", access_requests.withdraw_request, second)
    sandbox.execute("tim", access_requests.withdraw_request, second)
    third = sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1").data["request"]
    sandbox.execute(OPERATOR, lambda tx: tx.conn.execute(update(tables.pending_changes).values(expires=tx.now)))
    with pytest.raises(Exception, match="already expired"):
        sandbox.execute("paul", access_requests.approve_request, third)
    assert sandbox.execute(OPERATOR, pending_changes.expire_changes) == 1
    assert sandbox.roles_of("tim", "p1") == set()


@pytest.mark.proves("R72")
def test_a_project_that_does_not_exist_is_refused_as_one_in_which_no_user_can_grant(sandbox: AccountsHarness) -> None:
    sandbox.create_project("p8", "olga")
    sandbox.execute(OPERATOR, locks.lock_target, LockTarget.PROJECT, "p8", reason="test")
    answers = []
    for project in ("p8", "p9"):
        with pytest.raises(NotFound) as caught:
            sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", project)
        answers.append(caught.value.to_json())
    assert str(answers[0]).replace("p8", "p9") == str(answers[1])


def test_requests_are_bounded(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_requests, "MAX_PENDING_PER_USER", 2)
    for role in ("PROJECT_EXECUTOR", "PROJECT_ADMIN"):
        sandbox.execute("tim", access_requests.request_access, role, "p1")
    with pytest.raises(TooManyRequests):
        sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1")
    for bad in ("NO_ROLE", ""):
        with pytest.raises(BadInput):
            sandbox.execute("zoe", access_requests.request_access, bad, "p1")


def test_a_dry_run_lists_gains_and_losses_and_changes_nothing(harness: AccountsHarness) -> None:
    members = [{"id": "paul", "roles": ["PROJECT_ADMIN"]}, {"id": "rita", "roles": ["PROJECT_EXECUTOR"]}]
    command = parse_command("alter project p1,config=m", harness.catalog)
    before = harness.state()
    answer = dry_run(
        harness.store,
        harness.actor("paul"),
        lambda tx: command_handlers.execute_account_command(tx, command, {"m": json.dumps(members)}),
    )
    assert harness.state() == before
    changes = {(row[0], row[1]): (row[2], row[3]) for row in answer.rows}
    assert set(changes) == {("user:emma", "p1"), ("user:rita", "p1")}
    assert changes["user:rita", "p1"] == (["PROJECT_EXECUTOR"], [])
    assert changes["user:emma", "p1"] == ([], ["PROJECT_EXECUTOR"])
    permissions = {right["identity"]: (right["gains"], right["loses"]) for right in answer.data["permissions"]}
    assert "execute:training" in permissions["user:rita"][0]
    assert "execute:training" in permissions["user:emma"][1]
    assert answer.data["dry_run"] is True


def test_a_dry_run_refuses_what_the_change_would_refuse(harness: AccountsHarness) -> None:
    with pytest.raises(LastHolder):
        dry_run(
            harness.store,
            OPERATOR,
            lambda tx: assignments.revoke_roles(tx, ["AIZEN_ADMIN"], SYSTEM, Identity.user("admin")),
        )


def test_a_dry_run_sees_through_groups_roles_and_locks(harness: AccountsHarness) -> None:
    harness.execute("admin", management.create_group, "crew")
    harness.execute("admin", membership.add_member, "crew", Identity.user("zoe"))
    harness.execute("admin", custom_roles.create_role, "TRAINER", permissions=["execute:training"])
    crew = Identity.group("crew")
    answer = dry_run(
        harness.store, harness.actor("paul"), lambda tx: assignments.grant_roles(tx, ["TRAINER"], "p1", crew)
    )
    assert [(row[0], row[2]) for row in answer.rows] == [("user:zoe", ["TRAINER"])]
    assert answer.data["permissions"][0]["gains"] == ["enter:project", "execute:training"]
    harness.execute("paul", assignments.grant_roles, ["TRAINER"], "p1", crew)
    answer = dry_run(
        harness.store, OPERATOR, lambda tx: custom_roles.update_role(tx, "TRAINER", permissions=["read:training"])
    )
    assert [row[0] for row in answer.rows] == ["user:zoe"]
    answer = dry_run(
        harness.store,
        OPERATOR,
        lambda tx: command_handlers.execute_account_command(tx, parse_command("delete project p1", harness.catalog)),
    )
    assert {row[0] for row in answer.rows} == {"user:paul", "user:emma", "user:rita", "user:zoe"}


def test_only_a_user_who_could_grant_a_request_may_deny_it(sandbox: AccountsHarness) -> None:
    request_id = sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1").data["request"]
    for who, problem in (("emma", Escalation), ("admin", Escalation), ("zoe", NotFound), ("olga", NotFound)):
        with pytest.raises(problem):
            sandbox.execute(who, access_requests.deny_request, request_id)
    sandbox.execute("carl", access_requests.deny_request, request_id)


def _requests_of_others(tx: Any, count: int) -> None:
    values = {
        "kind": pending_changes.ACCESS_REQUEST,
        "requested_by": "user:zoe",
        "requested": tx.now - timedelta(days=1),
        "comment": "",
    }
    payload = {"role": "AIZEN_ADMIN", "scope": SYSTEM, "reason": "", "until": None}
    more = {"expires": tx.now + timedelta(days=1), "state": "waiting", "payload": payload}
    tx.conn.execute(
        tables.pending_changes.insert(), [{"id": f"{number:032}", **values, **more} for number in range(count)]
    )


def test_a_request_is_found_behind_any_number_of_others(
    sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.execute(OPERATOR, _requests_of_others, 2_100)
    for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
        sandbox.execute("tim", access_requests.request_access, role, "p1")
    answer = sandbox.execute("paul", access_requests.list_decidable_requests)
    assert {row[1:4] for row in answer.rows} == {
        ("user:tim", role, "p1") for role in ("PROJECT_READER", "PROJECT_EXECUTOR")
    }
    assert len(answer.rows) == 2
    assert not answer.data["more"]
    truncated = sandbox.execute("paul", access_requests.list_decidable_requests, 1)
    assert len(truncated.rows) == 1
    assert truncated.data["more"]
    assert truncated.message == "these are the first 1; there are more"
    monkeypatch.setattr(access_requests, "MAX_EXAMINED", 2_000)
    unread = sandbox.execute("paul", access_requests.list_decidable_requests)
    assert unread.rows == ()
    assert unread.data["more"]
    assert "2000 oldest" in unread.message


def test_lists_of_pending_changes_say_when_they_are_truncated(sandbox: AccountsHarness) -> None:
    for role in ("PROJECT_READER", "PROJECT_EXECUTOR"):
        sandbox.execute("tim", access_requests.request_access, role, "p1")
    for name in ("zoe", "tim"):
        result = sandbox.execute(
            sandbox.actor("admin", Channel.CLI),
            assignments.grant_roles,
            ["AIZEN_ADMIN"],
            SYSTEM,
            Identity.user(name),
            in_file=True,
        )
        assert result.pending_id
    with sandbox.read() as tx:
        tim = Identity.user("tim")
        for limit, more in ((1, True), (2, False)):
            own, pending = (
                access_requests.list_own_requests(tx, tim, limit),
                pending_changes.list_pending(tx, limit=limit),
            )
            assert len(own.rows) == len(pending.rows) == limit
            assert own.data["more"] is pending.data["more"] is more
        assert pending_changes.list_pending(tx, requested_by=tim).rows == ()
        assert [row[0] for row in pending_changes.list_pending(tx, change_id=result.pending_id).rows] == [
            result.pending_id
        ]
