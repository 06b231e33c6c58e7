"""What belongs to a project, counted before it is stopped or deleted."""

from __future__ import annotations

from sqlalchemy import insert

from aizen_hub.accounts.projects.deletion_outlook import DeletionOutlook, deletion_outlook
from aizen_hub.accounts.roles import access_requests, limits
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness


def test_everything_of_one_project_is_counted(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", limits.set_limit, Identity.user("rita"), "p1", "jobs", 3)
    sandbox.execute("rita", access_requests.request_access, "PROJECT_EXECUTOR", "p1", reason="", until=None)
    sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p2", reason="", until=None)
    with sandbox.write(OPERATOR) as tx:
        job = {"user": "rita", "command": "start training x", "key": "training x", "started": tx.now}
        for number, (project, ended) in enumerate((("p1", None), ("p1", tx.now), ("p2", None))):
            values = {"decision_id": f"d{number}", "project": project, "ended": ended, **job}
            tx.conn.execute(insert(tables.jobs).values(**values))
            values = {"id": f"s{number}", "user": "rita", "server": "", "project": project, "credential": f"c{number}"}
            values |= {"started": tx.now, "last_seen": tx.now, "ended": ended}
            tx.conn.execute(insert(tables.sessions).values(**values))
        tx.record_change("state", {}, ["*"])
    with sandbox.read() as tx:
        assert deletion_outlook(tx, "p1") == DeletionOutlook(3, 3, 1, 1, 0, 1, 1)
