"""The matrix of a project: every cell is what the engine decides."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization.queries.member_matrix import AnswerKind, MatrixAnswer, member_matrix
from aizen_hub.authorization.queries.role_coverage import commands_in
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import ScopeKind
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.authorization.queries.test_permission_holders import ALL, STATES, build


@settings(deadline=None, max_examples=25)
@given(STATES, st.sampled_from(("p1", "p2")))
def test_every_cell_is_the_decision_of_the_engine(
    shared_harness: AccountsHarness, state: dict[str, Any], project: str
) -> None:
    commands = commands_in(shared_harness.catalog, ScopeKind.PROJECT)
    with shared_harness.rolled_back() as sandbox:
        sandbox.execute(OPERATOR, build, state)
        with sandbox.read() as tx:
            for row in member_matrix(tx, project, ALL, commands):
                expected = [
                    decide(tx.rights(row.identity), AuthorizationRequest(entry.permission, project), tx.now).allowed
                    for entry in commands
                ]
                assert [answer.is_yes for answer in row.answers] == expected, row


def cell(sandbox: AccountsHarness, user: str, command: str) -> MatrixAnswer:
    commands = [sandbox.catalog.commands[command]]
    with sandbox.read() as tx:
        return member_matrix(tx, "p1", [Identity.user(user)], commands)[0].answers[0]


def test_ends_and_stops_are_told_apart(sandbox: AccountsHarness) -> None:
    ends = sandbox.now() + timedelta(days=3)
    sandbox.grant("PROJECT_EXECUTOR", "p1", "tim", interval=Interval(ends=ends))
    assert cell(sandbox, "tim", "start training") == MatrixAnswer(AnswerKind.UNTIL, ends)
    assert cell(sandbox, "tim", "delete training").kind is AnswerKind.NO
    sandbox.grant("PROJECT_READER", "p1", "tim")
    assert cell(sandbox, "tim", "list trainings").kind is AnswerKind.YES
    assert cell(sandbox, "tim", "start training").kind is AnswerKind.UNTIL
    sandbox.execute("admin", locks.lock_target, LockTarget.ARCHIVE, "p1", reason="over")
    assert cell(sandbox, "tim", "list trainings").kind is AnswerKind.YES
    assert cell(sandbox, "tim", "start training").kind is AnswerKind.STOPPED
    sandbox.execute("admin", locks.unlock_target, LockTarget.ARCHIVE, "p1", reason="needed")
    sandbox.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:tim", reason="laptop stolen")
    assert cell(sandbox, "tim", "start training").kind is AnswerKind.STOPPED
    assert cell(sandbox, "tim", "delete training").kind is AnswerKind.NO


def test_a_confirmation_by_a_directory_is_no_end(sandbox: AccountsHarness) -> None:
    tim, crew = Identity.user("tim"), Identity.group("crew")
    confirmed_until = sandbox.add_directory_member("crew", tim)
    ends = sandbox.now() + timedelta(days=300)
    sandbox.grant("PROJECT_EXECUTOR", "p1", crew, interval=Interval(ends=ends))
    assert cell(sandbox, "tim", "list trainings") == MatrixAnswer(AnswerKind.UNTIL, ends)
    sandbox.grant("PROJECT_READER", "p1", crew)
    assert cell(sandbox, "tim", "list trainings") == MatrixAnswer(AnswerKind.YES, confirmed_until=confirmed_until)
    sandbox.grant("PROJECT_READER", "p1", tim)
    assert cell(sandbox, "tim", "list trainings") == MatrixAnswer(AnswerKind.YES)


def test_the_roles_of_a_row(sandbox: AccountsHarness) -> None:
    with sandbox.read() as tx:
        rows = member_matrix(tx, "p1", [Identity.user("paul"), Identity.user("carl"), Identity.user("zoe")], [])
    assert [row.roles for row in rows] == [("PROJECT_ADMIN",), ("PROJECT_CREATOR",), ()]
