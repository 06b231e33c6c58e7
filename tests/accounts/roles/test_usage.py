"""Where roles are assigned."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.roles import usage
from aizen_hub.accounts.roles.usage import RoleUsage
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness
from tests.store.query_plans import query_plans


def test_counts_by_role_and_by_scope(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant("PROJECT_READER", "p2", Identity.group("crew"))
    sandbox.grant("PROJECT_READER", "p2", "tim")
    sandbox.grant("PROJECT_READER", "p2", "carl", interval=Interval(ends=sandbox.now() - timedelta(days=1)))
    with sandbox.read() as tx:
        everywhere = usage.count_assignments(tx, None)
        assert (everywhere["PROJECT_READER"], everywhere["PROJECT_ADMIN"], everywhere["AIZEN_ADMIN"]) == (4, 2, 1)
        assert usage.count_assignments(tx, {"p1"}) == {
            "PROJECT_ADMIN": 1,
            "PROJECT_EXECUTOR": 1,
            "PROJECT_READER": 1,
        }
        assert usage.count_assignments(tx, set()) == {}
        assert usage.count_assignments(tx, None, "PROJECT_READER") == {"PROJECT_READER": 4}
        assert usage.count_assignments(tx, {"p1"}, "PROJECT_READER") == {"PROJECT_READER": 1}
        assert usage.count_assignments(tx, None, "NO_SUCH_ROLE") == {}
        rows = [RoleUsage("p1", 1, 0, 0), RoleUsage("p2", 1, 1, 0)]
        assert usage.usage_of(tx, "PROJECT_READER", None) == rows
        assert usage.usage_of(tx, "PROJECT_READER", None, limit=1) == rows[:1]
        assert usage.usage_of(tx, "PROJECT_READER", None, after="p1") == rows[1:]
        assert usage.usage_of(tx, "PROJECT_READER", {"p2"}) == rows[1:]
        assert [row.scope for row in usage.usage_of(tx, "AIZEN_ADMIN", None)] == [SYSTEM]


def test_all_assignments_are_counted_role_by_role_from_an_index(sandbox: AccountsHarness) -> None:
    with sandbox.read() as tx:
        plans = query_plans(tx.conn, lambda: usage._count_assignments(tx, None, None))
    counting = next(plan for text, plan in plans.items() if "count(*)" in text)
    steps = [step for step in counting if "assignments" in step]
    assert steps[-1] == "SEARCH assignments USING COVERING INDEX ix_assignments_role_identity (role=?)", counting
    assert all("COVERING INDEX ix_assignments_role_identity" in step for step in steps), counting


def test_without_assignments_no_role_is_counted(sandbox: AccountsHarness) -> None:
    with sandbox.write(sandbox.actor("admin")) as tx:
        tx.conn.execute(delete(tables.assignment_rows))
        tx.record_change("test", {}, ["*"])
        assert usage.count_assignments(tx, None) == {}
