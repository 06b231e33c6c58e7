"""A review is carried out at once or not at all, and can be undone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.reviews import carrying_out, choices, lifecycle
from aizen_hub.accounts.reviews.choices import NewChoice
from aizen_hub.accounts.reviews.rows import Choice
from aizen_hub.accounts.roles import assignments
from aizen_hub.problems import BadInput, Conflict, Problem
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import AccountsHarness
from tests.accounts.reviews.test_assignment_uses import assignment_id

DAY = timedelta(days=1)
END = timedelta(days=20)


@pytest.fixture
def review_id(sandbox: AccountsHarness) -> str:
    """Emma's role is taken away, rita's shortened, tim's kept."""
    sandbox.grant("PROJECT_READER", "p1", "tim", reason="helps out")
    review_id: str = sandbox.execute("paul", lifecycle.start_review, "p1").id
    decisions = [
        NewChoice(assignment_id(sandbox, "emma", "PROJECT_EXECUTOR"), Choice.REMOVE),
        NewChoice(assignment_id(sandbox, "rita", "PROJECT_READER"), Choice.SHORTEN, sandbox.now() + END),
        NewChoice(assignment_id(sandbox, "tim", "PROJECT_READER"), Choice.KEEP),
    ]
    sandbox.execute("paul", choices.decide, review_id, decisions)
    return review_id


def members(harness: AccountsHarness) -> dict[str, Any]:
    a = tables.assignments
    with harness.read() as tx:
        return {row.identity: row.ends for row in tx.conn.execute(a.select().where(a.c.scope == "p1"))}


@pytest.mark.proves("R131")
def test_all_decisions_are_carried_out_and_the_review_is_finished(sandbox: AccountsHarness, review_id: str) -> None:
    result = sandbox.execute("paul", carrying_out.carry_out, review_id)
    assert [row[:3] for row in result.rows] == [
        ("user:emma", "PROJECT_EXECUTOR", "remove"),
        ("user:rita", "PROJECT_READER", "shorten"),
    ]
    assert result.data["finished"]
    ends = sandbox.now() + END
    assert members(sandbox) == {"user:paul": None, "user:rita": ends, "user:tim": None}
    review = sandbox.execute("paul", lifecycle.get_review, review_id)
    assert (review.kept, review.shortened, review.removed, review.is_open) == (1, 1, 1, False)
    with pytest.raises(Conflict):
        sandbox.execute("paul", carrying_out.carry_out, review_id)


def test_the_preview_says_who_loses_what_and_changes_nothing(harness: AccountsHarness) -> None:
    review_id = harness.execute("paul", lifecycle.start_review, "p1").id
    emma = assignment_id(harness, "emma", "PROJECT_EXECUTOR")
    harness.execute("paul", choices.decide, review_id, [NewChoice(emma, Choice.REMOVE)])
    before = members(harness)
    preview = dry_run(harness.store, harness.actor("paul"), lambda tx: carrying_out.carry_out(tx, review_id))
    assert preview.rows == (("user:emma", "p1", [], ["PROJECT_EXECUTOR"]),)
    assert members(harness) == before
    assert harness.execute("paul", lifecycle.get_review, review_id).to_carry_out == 1


def test_a_refused_change_leaves_everything_as_it_was(sandbox: AccountsHarness, review_id: str) -> None:
    d = tables.review_decisions
    sandbox.execute(
        "paul",
        lambda tx: tx.conn.execute(update(d).where(d.c.choice == "shorten").values(until=tx.now - DAY)),
    )
    before = members(sandbox)
    with pytest.raises(BadInput, match="has passed"):
        sandbox.execute("paul", carrying_out.carry_out, review_id)
    assert members(sandbox) == before
    assert sandbox.execute("paul", lifecycle.get_review, review_id).to_carry_out == 2


def test_a_decider_who_lost_the_right_carries_out_nothing(sandbox: AccountsHarness, review_id: str) -> None:
    before = members(sandbox)
    with pytest.raises(Problem):
        sandbox.execute("emma", carrying_out.carry_out, review_id)
    assert members(sandbox) == before


def test_what_was_taken_away_meanwhile_is_said(sandbox: AccountsHarness, review_id: str) -> None:
    sandbox.execute("paul", assignments.revoke_roles, ["PROJECT_EXECUTOR"], "p1", Identity.user("emma"))
    result = sandbox.execute("paul", carrying_out.carry_out, review_id)
    assert result.rows[0][4] == "was taken away meanwhile"


@pytest.mark.proves("R131")
def test_an_undo_gives_back_what_was_there(sandbox: AccountsHarness, review_id: str) -> None:
    before = members(sandbox)
    sandbox.execute("paul", carrying_out.carry_out, review_id)
    result = sandbox.execute("paul", carrying_out.undo, review_id)
    assert [row[2] for row in result.rows] == ["given back", "given back"]
    assert members(sandbox) == before
    with pytest.raises(Conflict, match="nothing to undo"):
        sandbox.execute("paul", carrying_out.undo, review_id)
    history = sandbox.execute("paul", carrying_out.list_carried_out, review_id)
    assert [(row.identity, row.choice, row.undone is not None) for row in history] == [
        ("user:emma", Choice.REMOVE, True),
        ("user:rita", Choice.SHORTEN, True),
        ("user:tim", Choice.KEEP, False),
    ]


def test_single_changes_are_undone(sandbox: AccountsHarness, review_id: str) -> None:
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    sandbox.execute("paul", carrying_out.carry_out, review_id)
    sandbox.execute("paul", carrying_out.undo, review_id, [emma])
    assert members(sandbox) == {
        "user:paul": None, "user:emma": None, "user:rita": sandbox.now() + END, "user:tim": None,
    }  # fmt: skip


def test_nothing_is_undone_after_thirty_days_or_given_back_after_its_end(
    sandbox: AccountsHarness, review_id: str
) -> None:
    sandbox.execute("paul", carrying_out.carry_out, review_id)
    d = tables.review_decisions

    def set_back(tx: Any, **values: Any) -> None:
        tx.conn.execute(update(d).where(d.c.review_id == review_id).values(**values))

    past = sandbox.now() - DAY
    sandbox.execute("paul", lambda tx: set_back(tx, former_ends=past))
    result = sandbox.execute("paul", carrying_out.undo, review_id)
    assert {row[4] for row in result.rows} == {"would have ended by now"}
    sandbox.execute("paul", lambda tx: set_back(tx, undone=None, carried_out=tx.now - 31 * DAY))
    with pytest.raises(Conflict, match="nothing to undo"):
        sandbox.execute("paul", carrying_out.undo, review_id)


def test_an_undo_needs_the_right_to_grant(sandbox: AccountsHarness, review_id: str) -> None:
    sandbox.execute("paul", carrying_out.carry_out, review_id)
    with pytest.raises(Problem):
        sandbox.execute("rita", carrying_out.undo, review_id)


def test_a_review_of_system_roles_waits_where_a_grant_would(sandbox: AccountsHarness) -> None:
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "carl", interval=Interval(None, sandbox.now() + END))
    review_id = sandbox.execute("admin", lifecycle.start_review, SYSTEM).id
    carl = assignment_id(sandbox, "carl", "AIZEN_ADMIN", SYSTEM)
    sandbox.execute("admin", choices.decide, review_id, [NewChoice(carl, Choice.REMOVE)])

    by_cli = sandbox.actor("admin", Channel.CLI)
    result = sandbox.execute(by_cli, carrying_out.carry_out, review_id)
    assert result.rows[0][4].startswith("waiting for confirmation")
