"""Limits with what is in use of them."""

from __future__ import annotations

from aizen_hub.accounts.roles import custom_roles, limits
from aizen_hub.jobs import quota
from aizen_hub.jobs.limit_use import read_limits, read_limits_by_scope, read_set_limits
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness

EMMA = Identity.user("emma")


def test_a_limit_of_the_system_counts_all_jobs_and_that_of_a_project_its_own(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_EXECUTOR", "p2", "emma")
    sandbox.execute("admin", limits.set_limit, EMMA, SYSTEM, "jobs", 4)
    sandbox.execute("admin", custom_roles.create_role, "TWO", permissions=["read"], limits={"jobs": 2, "cpu": 1.5})
    sandbox.grant("TWO", "p1", "emma")
    for number, project in (("a", "p1"), ("b", "p2"), ("c", "p2")):
        start = {"project": project, "session": None, "command": number, "key": number}
        sandbox.execute(OPERATOR, quota.start_job, decision_id=number, identity=EMMA, **start)
    with sandbox.read() as tx:
        uses = read_limits_by_scope(tx, EMMA, ["p1", "p2", SYSTEM])
        assert read_limits(tx, Identity.user("rita"), "p1") == []
    shown = {
        scope: [(limit.label, limit.used, limit.value) for limit in scope_limits]
        for scope, scope_limits in uses.items()
    }
    assert shown == {
        "p1": [("Cores of each server", None, 1.5), ("Jobs at once", 1, 2)],
        "p2": [("Jobs at once", 3, 4)],
        SYSTEM: [("Jobs at once", 3, 4)],
    }


def test_the_limits_that_are_set_in_a_project_with_the_jobs_that_run_there(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_EXECUTOR", "p2", "emma")
    for kind, value in (("jobs", 4), ("memory", 2**33)):
        sandbox.execute("admin", limits.set_limit, EMMA, "p1", kind, value)
    sandbox.execute("admin", limits.set_limit, EMMA, "p2", "jobs", 9)
    sandbox.execute("admin", limits.set_limit, Identity.user("rita"), "p1", "jobs", 2)
    for number, project in (("a", "p1"), ("b", "p1"), ("c", "p2"), ("d", "p1")):
        start = {"project": project, "session": None, "command": number, "key": number}
        sandbox.execute(OPERATOR, quota.start_job, decision_id=number, identity=EMMA, **start)
    sandbox.execute(OPERATOR, quota.end_job, "d", "success")
    with sandbox.read() as tx:
        rows = [(row.identity, row.kind, row.value, row.used) for row in read_set_limits(tx, "p1", 10)]
        assert len(read_set_limits(tx, "p1", 2)) == 2
    assert rows == [("user:emma", "jobs", 4, 2), ("user:emma", "memory", 2**33, None), ("user:rita", "jobs", 2, 0)]
