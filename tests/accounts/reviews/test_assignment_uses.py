"""Recorded uses of assignments: added up, and gone with their assignment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from aizen_hub.accounts.reviews.assignment_uses import find_uses, unauthorized_record_uses
from aizen_hub.accounts.roles import assignments
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def assignment_id(harness: AccountsHarness, name: str, role: str, scope: str = "p1") -> int:
    with harness.read() as tx:
        row = assignments.find_assignment(tx, role, scope, Identity.user(name))
    assert row is not None
    return int(row.id)


@pytest.mark.proves("R131")
def test_uses_are_added_up_and_a_later_use_is_never_replaced_by_an_earlier_one(sandbox: AccountsHarness) -> None:
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    for use in (
        AssignmentUse(emma, FIRST, FIRST + HOUR, 3),
        AssignmentUse(emma, FIRST + HOUR, FIRST + 3 * HOUR, 4),
        AssignmentUse(emma, FIRST + HOUR, FIRST + 2 * HOUR, 5),  # of a slower replica
    ):
        sandbox.execute(OPERATOR, unauthorized_record_uses, [use])
    with sandbox.read() as tx:
        assert find_uses(tx, [emma, emma + 1_000]) == {emma: AssignmentUse(emma, FIRST, FIRST + 3 * HOUR, 12)}


def test_uses_of_a_deleted_assignment_are_dropped(sandbox: AccountsHarness) -> None:
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    use = AssignmentUse(emma, FIRST, FIRST, 1)
    sandbox.execute(OPERATOR, unauthorized_record_uses, [use])
    sandbox.execute("paul", assignments.revoke_roles, ["PROJECT_EXECUTOR"], "p1", Identity.user("emma"))
    sandbox.execute(OPERATOR, unauthorized_record_uses, [use])
    with sandbox.read() as tx:
        assert tx.conn.execute(select(func.count()).select_from(tables.assignment_uses)).scalar_one() == 0


def test_a_recorded_use_changes_no_revision(sandbox: AccountsHarness) -> None:
    emma = assignment_id(sandbox, "emma", "PROJECT_EXECUTOR")
    with sandbox.read() as tx:
        before = tx.revision
    sandbox.execute(OPERATOR, unauthorized_record_uses, [AssignmentUse(emma, FIRST, FIRST, 1)])
    with sandbox.read() as tx:
        assert tx.revision == before
