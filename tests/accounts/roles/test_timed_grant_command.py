"""The command `grant role … until`, `for`, `because` and `to group:…`, through the account functions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from aizen_hub.accounts.groups import management, membership
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

_a = tables.assignments


def assignment(harness: AccountsHarness, identity: str, role: str = "PROJECT_EXECUTOR") -> Any:
    with harness.read() as tx:
        return tx.conn.execute(select(_a).where(_a.c.identity == identity, _a.c.role == role)).first()


def test_a_role_for_a_duration_ends_by_itself(harness: AccountsHarness) -> None:
    before = harness.now()
    harness.run_command("paul", 'grant role PROJECT_EXECUTOR to zoe for 7 days because "on call"', project="p1")
    row = assignment(harness, "user:zoe")
    assert timedelta(0) <= row.ends - before - timedelta(days=7) < timedelta(minutes=5)
    assert row.reason == "on call"


def test_a_role_until_a_day_holds_on_that_day(harness: AccountsHarness) -> None:
    done = harness.run_command("paul", "grant role PROJECT_EXECUTOR to zoe until 2099-12-31", project="p1")
    assert done.message == "granted PROJECT_EXECUTOR to `zoe` until 2100-01-01 00:00 UTC"
    assert assignment(harness, "user:zoe").ends.isoformat() == "2100-01-01T00:00:00+00:00"
    harness.run_command("paul", "revoke role PROJECT_EXECUTOR from zoe", project="p1")
    assert assignment(harness, "user:zoe") is None


def test_a_role_for_a_group(harness: AccountsHarness) -> None:
    harness.execute(OPERATOR, management.create_group, "data")
    harness.execute(OPERATOR, membership.add_member, "data", Identity.user("zoe"))
    harness.run_command("paul", "grant role PROJECT_EXECUTOR to group:data for 4h", project="p1")
    assert assignment(harness, "group:data") is not None
    harness.run_command("paul", "revoke role PROJECT_EXECUTOR from group:data", project="p1")
    assert assignment(harness, "group:data") is None


def test_a_user_may_be_named_with_the_prefix_too(harness: AccountsHarness) -> None:
    harness.run_command("paul", "grant role PROJECT_EXECUTOR to user:zoe", project="p1")
    assert assignment(harness, "user:zoe") is not None
    harness.run_command("paul", "revoke role PROJECT_EXECUTOR from user:zoe", project="p1")
    assert assignment(harness, "user:zoe") is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("grant role PROJECT_EXECUTOR to zoe until 2099-12-31 for 7d", "either `until` a time or `for` a duration"),
        ("grant role PROJECT_EXECUTOR to zoe until 2001-01-01", "ended"),
    ],
)
def test_an_impossible_end_changes_nothing(harness: AccountsHarness, line: str, says: str) -> None:
    assert says in harness.expect_problem("paul", line, project="p1").detail


@pytest.mark.proves("R141")
def test_a_reason_that_the_audit_could_not_store_whole_is_refused(harness: AccountsHarness) -> None:
    line = "grant role PROJECT_EXECUTOR to zoe because {}"
    assert "1000 at most" in harness.expect_problem("paul", line.format("x" * 1001), project="p1").detail
    harness.run_command("paul", line.format("x" * 1000), project="p1")
    assert len(assignment(harness, "user:zoe").reason) == 1000


@pytest.mark.proves("R72")
def test_a_group_that_does_not_exist_is_not_found(harness: AccountsHarness) -> None:
    problem = harness.expect_problem("paul", "grant role PROJECT_EXECUTOR to group:absent", project="p1")
    assert isinstance(problem, NotFound)
