"""Decisions of a review: kept until they are carried out, refused where the actor could not make the change."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts.reviews import carrying_out, choices, lifecycle, rows
from aizen_hub.accounts.reviews.assignment_uses import unauthorized_record_uses
from aizen_hub.accounts.reviews.choices import FillRule, NewChoice
from aizen_hub.accounts.reviews.rows import Choice
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.problems import BadInput, Conflict, Denied, NotFound
from aizen_hub.rbac.assignment import Interval
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.accounts.reviews.test_assignment_uses import assignment_id
from tests.accounts.reviews.test_unused_access import age

DAY = timedelta(days=1)


@pytest.fixture
def review_id(sandbox: AccountsHarness) -> str:
    review_id: str = sandbox.execute("paul", lifecycle.start_review, "p1").id
    return review_id


def decided(sandbox: AccountsHarness, review_id: str) -> dict[str, Choice | None]:
    review = sandbox.execute("paul", lifecycle.get_review, review_id)
    return {row.identity: row.choice for row in sandbox.execute("paul", rows.list_rows, review)}


def test_a_decision_changes_no_access_and_can_be_taken_back(sandbox: AccountsHarness, review_id: str) -> None:
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    with sandbox.read() as tx:
        before = tx.revision
    for choice in (Choice.REMOVE, Choice.KEEP, None):
        review = sandbox.execute("paul", choices.decide, review_id, [NewChoice(emma, choice)])
        assert decided(sandbox, review_id)["user:emma"] is choice
        assert review.to_carry_out == (choice is Choice.REMOVE)
    with sandbox.read() as tx:
        assert tx.revision == before


@pytest.mark.parametrize(
    ("who", "holder", "role", "problem"),
    [
        ("emma", "rita", "PROJECT_READER", Denied),
        ("tim", "rita", "PROJECT_READER", NotFound),
        ("paul", "paul", "PROJECT_ADMIN", Denied),
        ("tom", "tom", "PROJECT_ADMIN", Denied),
    ],
)
@pytest.mark.proves("R131")
def test_no_user_decides_about_themselves_or_without_the_right_to_revoke(
    sandbox: AccountsHarness, review_id: str, who: str, holder: str, role: str, problem: type[Exception]
) -> None:
    sandbox.register_users("tom")
    sandbox.grant("PROJECT_ADMIN", "p1", "tom")
    choice = NewChoice(assignment_id(sandbox, holder, role), Choice.KEEP)
    with pytest.raises(problem):
        sandbox.execute(who, choices.decide, review_id, [choice])


@pytest.mark.parametrize("days", [None, -1, 40])
def test_an_end_is_shortened_to_a_time_before_it(sandbox: AccountsHarness, review_id: str, days: int | None) -> None:
    now = sandbox.now()
    sandbox.grant("PROJECT_READER", "p1", "tim", interval=Interval(None, now + 30 * DAY))
    tim = assignment_id(sandbox, "tim", "PROJECT_READER")
    until = None if days is None else now + days * DAY
    with pytest.raises(BadInput):
        sandbox.execute("paul", choices.decide, review_id, [NewChoice(tim, Choice.SHORTEN, until)])
    sandbox.execute("paul", choices.decide, review_id, [NewChoice(tim, Choice.SHORTEN, now + 20 * DAY)])
    assert decided(sandbox, review_id)["user:tim"] is Choice.SHORTEN


def test_an_assignment_of_another_project_is_not_decided_here(sandbox: AccountsHarness, review_id: str) -> None:
    sandbox.grant("PROJECT_READER", "p2", "tim")
    tim = assignment_id(sandbox, "tim", "PROJECT_READER", "p2")
    with pytest.raises(BadInput):
        sandbox.execute("paul", choices.decide, review_id, [NewChoice(tim, Choice.REMOVE)])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FillRule.KEEP_USED, {"user:emma": Choice.KEEP, "user:rita": None, "user:tim": None}),
        (FillRule.REMOVE_UNUSED, {"user:emma": None, "user:rita": Choice.REMOVE, "user:tim": None}),
        (
            FillRule.SHORTEN_ENDLESS,
            {"user:emma": Choice.SHORTEN, "user:rita": Choice.SHORTEN, "user:tim": None},
        ),
    ],
)
@pytest.mark.proves("R131")
def test_a_rule_fills_in_what_is_not_decided(
    sandbox: AccountsHarness, review_id: str, rule: FillRule, expected: dict[str, Choice | None]
) -> None:
    now = sandbox.now()
    sandbox.grant("PROJECT_READER", "p1", "tim", interval=Interval(None, now + 30 * DAY))
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    sandbox.execute(OPERATOR, unauthorized_record_uses, [AssignmentUse(emma, now - DAY, now - DAY, 1)])
    age(sandbox, tables.assignment_rows, 60, id=assignment_id(sandbox, "rita", "PROJECT_READER"))
    _, filled = sandbox.execute("paul", choices.fill_in, review_id, rule)
    assert decided(sandbox, review_id) == {"user:paul": None, **expected}
    assert filled == sum(choice is not None for choice in expected.values())
    assert sandbox.execute("paul", choices.fill_in, review_id, rule)[1] == 0, "what is decided stays"


def test_what_was_carried_out_is_not_decided_again(sandbox: AccountsHarness, review_id: str) -> None:
    emma, rita = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR"), assignment_id(sandbox, "rita", "PROJECT_READER")
    sandbox.execute("paul", choices.decide, review_id, [NewChoice(emma, Choice.KEEP)])
    sandbox.execute("paul", carrying_out.carry_out, review_id)
    with pytest.raises(Conflict, match="carried out"):
        sandbox.execute("paul", choices.decide, review_id, [NewChoice(emma, Choice.REMOVE)])
    sandbox.execute("paul", choices.decide, review_id, [NewChoice(rita, Choice.KEEP)])
    assert sandbox.execute("paul", carrying_out.carry_out, review_id).data["finished"]
    with pytest.raises(Conflict, match="finished"):
        sandbox.execute("paul", choices.decide, review_id, [NewChoice(rita, Choice.REMOVE)])
