"""The difference of the roles of a project between two times."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from aizen_hub.accounts.projects import access_history
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import Interval
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

DAY = timedelta(days=1)


def changes(harness: AccountsHarness, since: object) -> list[tuple[str, str, str]]:
    with harness.read() as tx:
        rows = access_history.role_changes(tx, "p1", since, tx.now + DAY)  # type: ignore[arg-type]
        return [(row.kind.value, str(row.identity), row.role) for row in rows]


def test_only_the_difference_counts(harness: AccountsHarness) -> None:
    since = harness.now()
    harness.register_users("tim", "olga")
    harness.run_command("paul", "grant role PROJECT_READER to tim", project="p1")
    harness.run_command("paul", "grant role PROJECT_EXECUTOR to olga", project="p1")
    harness.run_command("paul", "revoke role PROJECT_EXECUTOR from olga", project="p1")
    harness.run_command("paul", "revoke role PROJECT_READER from rita", project="p1")
    harness.grant("PROJECT_EXECUTOR", "p1", "emma", interval=Interval(ends=harness.now() + DAY))
    assert changes(harness, since) == [
        ("changed", "user:emma", "PROJECT_EXECUTOR"),
        ("revoked", "user:rita", "PROJECT_READER"),
        ("granted", "user:tim", "PROJECT_READER"),
    ]
    assert ("granted", "user:paul", "PROJECT_ADMIN") in changes(harness, since - DAY)
    with harness.read() as tx:
        rows = access_history.role_changes(tx, "p1", since, tx.now + DAY)
    assert rows[0].ends is not None
    assert [str(row.by) for row in rows[1:]] == ["user:paul", "user:paul"]


def test_a_role_that_is_taken_and_given_again_has_changed(harness: AccountsHarness) -> None:
    since = harness.now()
    harness.run_command("paul", "revoke role PROJECT_READER from rita", project="p1")
    harness.run_command("paul", "grant role PROJECT_READER to rita", project="p1")
    assert changes(harness, since) == [("changed", "user:rita", "PROJECT_READER")]


def test_days_in_the_wrong_order(harness: AccountsHarness) -> None:
    with harness.read() as tx, pytest.raises(BadInput, match="after the first"):
        access_history.role_changes(tx, "p1", tx.now, tx.now)


def test_an_archived_day_is_not_answered_from_what_is_left(harness: AccountsHarness) -> None:
    with harness.write(OPERATOR) as tx:
        tx.conn.execute(insert(tables.archive_manifests).values(number=1, signed_json="{}"))
    with harness.read() as tx, pytest.raises(BadInput, match="archive"):
        access_history.role_changes(tx, "p1", tx.now - 10 * DAY, tx.now)


def test_too_many_changes_are_refused(harness: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_history, "MAX_EVENTS", 1)
    with harness.read() as tx, pytest.raises(BadInput, match="more than 1 roles"):
        access_history.role_changes(tx, "p1", tx.now - DAY, tx.now + DAY)
