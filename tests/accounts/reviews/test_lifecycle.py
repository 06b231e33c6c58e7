"""Reviews are started, found and finished by those who may read access in the scope."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from aizen_hub.accounts.reviews import choices, lifecycle
from aizen_hub.accounts.reviews.choices import NewChoice
from aizen_hub.accounts.reviews.rows import Choice
from aizen_hub.accounts.users import profiles
from aizen_hub.problems import BadInput, Conflict, Denied, NotFound, Problem
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store import tables
from tests.accounts.harness import AccountsHarness
from tests.accounts.reviews.test_assignment_uses import assignment_id


@pytest.mark.proves("R131")
def test_an_admin_of_the_project_starts_a_review_with_a_deadline(sandbox: AccountsHarness) -> None:
    review = sandbox.execute("paul", lifecycle.start_review, "p1", note="every quarter")
    assert review.is_open
    assert review.deadline == sandbox.now() + lifecycle.DEFAULT_PERIOD
    # The role of the project's creator is always kept: only emma and rita are decided.
    assert (review.total, review.decided, review.to_carry_out) == (2, 0, 0)
    with sandbox.read() as tx:
        assert lifecycle.find_open_review(tx, "p1") == review  # type: ignore[arg-type]
        assert lifecycle.list_open_reviews(tx, ["p1", "p2"]) == [review]  # type: ignore[arg-type]
        assert lifecycle.list_open_reviews(tx, ["p2"]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("who", "scope", "problem"),
    [
        ("emma", "p1", Denied),
        ("rita", "p1", Denied),
        ("tim", "p1", NotFound),
        ("paul", "p2", NotFound),
        ("paul", SYSTEM, Denied),
        ("paul", "nowhere", NotFound),
    ],
)
@pytest.mark.proves("R72")
def test_others_start_none(sandbox: AccountsHarness, who: str, scope: str, problem: type[Problem]) -> None:
    with pytest.raises(problem):
        sandbox.execute(who, lifecycle.start_review, scope)


@pytest.mark.proves("R72")
def test_the_review_of_another_project_is_answered_like_one_that_does_not_exist(sandbox: AccountsHarness) -> None:
    review = sandbox.execute("olga", lifecycle.start_review, "p2")
    for review_id in (review.id, "f" * 32):
        with pytest.raises(NotFound, match="there is no such review"):
            sandbox.execute("paul", lifecycle.get_review, review_id)


def test_one_review_of_a_scope_is_open_at_a_time(sandbox: AccountsHarness) -> None:
    first = sandbox.execute("paul", lifecycle.start_review, "p1")
    with pytest.raises(Conflict):
        sandbox.execute("admin", lifecycle.start_review, "p1")
    assert not sandbox.execute("paul", lifecycle.finish_review, first.id).is_open
    second = sandbox.execute("admin", lifecycle.start_review, "p1")
    assert {review.id for review in sandbox.execute("paul", lifecycle.list_reviews, "p1")} == {second.id, first.id}


@pytest.mark.parametrize("days", [-1, 0, 400])
def test_the_deadline_is_in_the_future_and_within_a_year(sandbox: AccountsHarness, days: int) -> None:
    with pytest.raises(BadInput):
        sandbox.execute("paul", lifecycle.start_review, "p1", deadline=sandbox.now() + timedelta(days=days))


def test_a_review_with_open_decisions_is_not_finished(sandbox: AccountsHarness) -> None:
    review = sandbox.execute("paul", lifecycle.start_review, "p1")
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    sandbox.execute("paul", choices.decide, review.id, [NewChoice(emma, Choice.REMOVE)])
    with pytest.raises(Conflict, match="not carried out"):
        sandbox.execute("paul", lifecycle.finish_review, review.id)
    sandbox.execute("paul", choices.decide, review.id, [NewChoice(emma, None)])
    finished = sandbox.execute("paul", lifecycle.finish_review, review.id)
    with pytest.raises(Conflict):
        sandbox.execute("paul", lifecycle.finish_review, finished.id)


def test_the_other_admins_are_told(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = MailSettings(host="mail.example.org", sender="hub@example.org")
    settings = sandbox.settings.model_copy(update={"alerts": AlertSettings(mail=mail)})
    monkeypatch.setattr(sandbox.outer_tx, "settings", settings)
    sandbox.grant("PROJECT_ADMIN", "p1", "tim")
    for name in ("tim", "paul", "rita"):
        sandbox.execute(name, profiles.update_user, name, email=f"{name}@example.org", alerts={"email": True})
    sandbox.execute("paul", lifecycle.start_review, "p1")
    with sandbox.read() as tx:
        alerts = tx.conn.execute(tables.outbox.select().where(tables.outbox.c.event == "review-started")).all()
    assert [row.recipient for row in alerts] == ["tim"]


def test_each_step_is_recorded(sandbox: AccountsHarness) -> None:
    review = sandbox.execute("paul", lifecycle.start_review, "p1")
    sandbox.execute("paul", lifecycle.finish_review, review.id)
    assert sandbox.outer_tx is not None
    events = [(record.event, record.project) for record in sandbox.outer_tx._audit_records if "review" in record.event]
    assert events == [("review.started", "p1"), ("review.finished", "p1")]
    assert json.dumps([dict(record.details) for record in sandbox.outer_tx._audit_records[-1:]])
