"""Who could grant a role, however many others are assigned one."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.roles import access_requests
from aizen_hub.authorization.queries import grantors
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness


def test_an_owner_is_found_behind_service_accounts_groups_and_ended_assignments(
    sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grantors, "_PAGE_SIZE", 2)
    now = sandbox.now()

    def assign(tx: object) -> None:
        a = tables.assignment_rows
        common = {
            "role": "PROJECT_ADMIN",
            "scope": "p1",
            "reason": "",
            "granted_by": "x",
            "granted": now,
            "revision": 1,
        }
        common |= {"creator": False, "mapped": False, "starts": None}
        ended = Interval(None, now)
        for number in range(60):
            for identity, ends in (
                (Identity.service_account(f"bot{number}"), None),
                (Identity.group(f"crew{number}"), None),
                (Identity.user(f"a{number}"), ended.ends),
            ):
                tx.conn.execute(a.insert().values(identity=str(identity), ends=ends, **common))

    sandbox.execute(OPERATOR, assign)
    with sandbox.read() as tx:
        assert "paul" in grantors.who_can_grant(tx, "PROJECT_READER", "p1")
    result = sandbox.execute("tim", access_requests.request_access, "PROJECT_READER", "p1")
    assert result.data["state"] == "waiting"
