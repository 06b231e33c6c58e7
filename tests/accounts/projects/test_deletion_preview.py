"""What belongs to a project, counted before it is stopped or deleted."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects.deletion_preview import DeletionPreview, preview_deletion
from aizen_hub.accounts.roles import access_requests, limits
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

EVERYONE = tuple(map(Identity.user, ("emma", "paul", "rita")))


def test_everything_of_one_project_is_counted(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", limits.set_limit, Identity.user("rita"), "p1", "jobs", 3)
    sandbox.execute("rita", access_requests.request_access, "PROJECT_EXECUTOR", "p1", reason="", until=None)
    sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p2", reason="", until=None)
    with sandbox.write(OPERATOR) as tx:
        job = {"user": "rita", "command": "start training x", "key": "training x", "started": tx.now}
        for number, (project, ended) in enumerate((("p1", None), ("p1", tx.now), ("p2", None))):
            values = {"decision_id": f"d{number}", "project": project, "ended": ended, **job}
            tx.conn.execute(insert(tables.jobs).values(**values))
            values = {"id": f"s{number}", "user": "rita", "hub": "main", "server": "", "project": project}
            values |= {"credential": f"c{number}", "started": tx.now, "last_seen": tx.now, "ended": ended}
            tx.conn.execute(insert(tables.sessions).values(**values))
        tx.record_change("state", {}, ["*"])
    with sandbox.read() as tx:
        assert preview_deletion(tx, "p1") == DeletionPreview(3, 3, EVERYONE, 0, 1, 1, 0, 1, 1)


def test_the_first_members_are_named_and_the_others_counted(
    sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aizen_hub.accounts.projects.deletion_preview._SHOWN_MEMBERS", 2)
    with sandbox.write(OPERATOR) as tx:
        management.create_group(tx, "crew")
        membership.add_member(tx, "crew", Identity.user("tim"))
    sandbox.grant("PROJECT_READER", "p1", Identity.group("crew"))
    with sandbox.read() as tx:
        preview = preview_deletion(tx, "p1")
    assert preview.accounts == 5, "the group is a member too"
    assert preview.first_members == EVERYONE[:2]
    assert preview.more_members == 2
