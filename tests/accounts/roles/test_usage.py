"""Where roles are assigned."""

from __future__ import annotations

from datetime import timedelta

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.roles import usage
from aizen_hub.accounts.roles.usage import RoleUsage
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness


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
