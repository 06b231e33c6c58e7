"""What helps to decide a request: counts of commands, those who have the role, refusals, and smaller roles."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts.roles import access_requests, custom_roles, request_details
from aizen_hub.accounts.roles.request_details import RequestDetails, outcome_of, words_by_task
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.transaction import make_audit_record
from tests.accounts.harness import AccountsHarness


def describe(harness: AccountsHarness, reader: str, request_id: str) -> RequestDetails:
    details: RequestDetails = harness.execute(
        reader,
        lambda tx: request_details.describe_request(tx, access_requests.get_visible_request(tx, request_id)),
    )
    return details


def ask(harness: AccountsHarness, role: str = "PROJECT_EXECUTOR", who: str = "rita", scope: str = "p1") -> str:
    request_id: str = harness.execute(who, access_requests.request_access, role, scope).data["request"]
    return request_id


def refuse(harness: AccountsHarness, command: str, permission: str, times: int = 1) -> None:
    actor = harness.actor("rita", project="p1")
    fields = {"project": "p1", "command": command, "allowed": False, "details": {"permission": permission}}
    now = harness.now()
    harness.store.append_audit([make_audit_record(actor, "decision", now, **fields) for _ in range(times)])


def test_the_added_commands_are_counted_and_named(sandbox: AccountsHarness) -> None:
    details = describe(sandbox, "paul", ask(sandbox))
    assert details.added == sum(len(item.commands) for item in details.adds) > 0
    training = next(item for item in details.adds if item.task == "Training")
    assert "start training" in training.commands
    assert "run" in training.words
    assert "delete" in details.missing_words
    assert details.holders == ("user:emma",)
    assert details.holder_count == 1
    assert [held.role for held in details.held] == ["PROJECT_READER"]
    assert details.may_decide
    assert details.grantors[0] == "paul"
    assert not describe(sandbox, "rita", ask(sandbox, "PROJECT_ADMIN")).may_decide, "no one decides their own"


def test_refusals_lead_to_a_smaller_role(harness: AccountsHarness) -> None:
    harness.execute("admin", custom_roles.create_role, "TRAINER", permissions=["execute:training"], scopes=["project"])
    harness.execute("admin", custom_roles.create_role, "LOADER", permissions=["execute:dataset"], scopes=["project"])
    refuse(harness, "start training churn", "execute:training", 3)
    request_id = ask(harness)
    details = describe(harness, "paul", request_id)
    assert details.refusals is not None
    assert [(item.command, item.count) for item in details.refusals] == [("start training", 3)]
    assert [item.role for item in details.smaller_roles] == ["TRAINER"]
    assert details.smaller_roles[0].adds < details.added
    refuse(harness, "start dataset x", "execute:dataset")
    assert describe(harness, "paul", request_id).smaller_roles == (), "no smaller role would do for both"
    assert describe(harness, "rita", request_id).refusals is None


@pytest.mark.proves("R72")
@pytest.mark.parametrize("reader", ["emma", "tim", "olga"])
def test_a_request_of_others_is_answered_like_one_that_does_not_exist(sandbox: AccountsHarness, reader: str) -> None:
    request_id = ask(sandbox)
    for asked in (request_id, "f" * 32):
        with pytest.raises(NotFound, match="no such pending change or request"):
            sandbox.execute(reader, access_requests.get_visible_request, asked)


@pytest.mark.parametrize(
    ("role", "is_smaller"),
    [("PROJECT_READER", True), ("TRAINER", True), ("PROJECT_ADMIN", False), ("DELETER", False), ("UNKNOWN", False)],
)
def test_only_a_part_of_what_was_asked_is_approved_instead(
    sandbox: AccountsHarness, role: str, is_smaller: bool
) -> None:
    for name, permission in (("TRAINER", "execute:training"), ("DELETER", "delete:training")):
        sandbox.execute("admin", custom_roles.create_role, name, permissions=[permission], scopes=["project"])
    request_id = ask(sandbox, who="tim")
    if not is_smaller:
        with pytest.raises(BadInput, match="no part of PROJECT_EXECUTOR"):
            sandbox.execute("paul", access_requests.approve_request, request_id, role=role)
        return
    sandbox.execute("paul", access_requests.approve_request, request_id, role=role)
    with sandbox.read() as tx:
        assert {held.role for held in tx.rights(Identity.user("tim")).held_roles if held.scope == "p1"} == {role}
    decided = sandbox.execute("paul", access_requests.list_decided_requests)
    assert [(row.id, row.state) for row in decided] == [(request_id, "confirmed")]
    assert sandbox.execute("olga", access_requests.list_decided_requests) == []


def test_earlier_requests_are_counted_by_their_outcome(sandbox: AccountsHarness) -> None:
    denied, withdrawn = ask(sandbox, "PROJECT_ADMIN"), ask(sandbox)
    sandbox.execute("paul", access_requests.deny_request, denied, comment="executor is enough")
    sandbox.execute("rita", access_requests.withdraw_request, withdrawn)
    assert describe(sandbox, "paul", ask(sandbox)).earlier == {"denied": 1, "withdrawn": 1}


@pytest.mark.parametrize(
    ("state", "comment", "outcome"),
    [
        ("confirmed", "", "approved"),
        ("rejected", "no", "denied"),
        ("rejected", "withdrawn", "withdrawn"),
        ("expired", "", "expired"),
    ],
)
def test_outcomes(state: str, comment: str, outcome: str) -> None:
    assert outcome_of(state, comment) == outcome


def test_the_end_that_was_asked_for_is_shown(sandbox: AccountsHarness) -> None:
    until = sandbox.now() + timedelta(days=7)
    request_id = sandbox.execute("rita", access_requests.request_access, "PROJECT_EXECUTOR", "p1", until=until)
    assert describe(sandbox, "paul", request_id.data["request"]).until == until
    assert words_by_task(sandbox.catalog, ()) == ()


@pytest.mark.proves("R72")
def test_the_requester_is_not_told_who_has_the_role(sandbox: AccountsHarness) -> None:
    request = ask(sandbox, "PROJECT_ADMIN")
    assert describe(sandbox, "paul", request).holders
    own = describe(sandbox, "rita", request)
    assert (own.holders, own.holder_count) == ((), 0)


@pytest.mark.proves("R72")
def test_roles_of_the_system_are_shown_to_those_who_read_them_and_to_their_holder(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_CREATOR", SYSTEM, Identity.user("rita"))
    request = ask(sandbox)
    shown = {who: {held.scope for held in describe(sandbox, who, request).held} for who in ("paul", "rita")}
    assert shown == {"paul": {"p1"}, "rita": {"p1", SYSTEM}}
