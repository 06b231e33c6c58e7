"""Grants to several at once, and the way back to what was before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts.roles import bulk_grants
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.problems import Escalation, NotFound
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from tests.accounts.harness import AccountsHarness

TIM, RITA, OLGA = (Identity.user(name) for name in ("tim", "rita", "olga"))
DAY = timedelta(days=1)


def held(sandbox: AccountsHarness, project: str = "p1") -> dict[tuple[str, str], Any]:
    a = tables.assignments
    with sandbox.read() as tx:
        rows = tx.conn.execute(a.select().where(a.c.scope == project))
        return {(row.identity, row.role): (row.starts, row.ends, row.reason) for row in rows}


def test_several_get_a_role(sandbox: AccountsHarness) -> None:
    ends = sandbox.now() + 7 * DAY
    result = sandbox.execute(
        "paul",
        bulk_grants.grant_to_all,
        "project_reader",
        "p1",
        [TIM, OLGA, RITA, TIM],
        interval=Interval(ends=ends),
        reason="campaign",
    )
    assert result.data["granted"] == ["user:tim", "user:olga", "user:rita"]  # the one of rita gets an end
    assert held(sandbox)["user:rita", "PROJECT_READER"] == (None, ends, "campaign")
    former = {"role": "PROJECT_READER", "scope": "p1"}
    assert result.data["former"] == [
        {**former, "identity": "user:tim", "held": None},
        {**former, "identity": "user:olga", "held": None},
        {**former, "identity": "user:rita", "held": {"starts": None, "ends": None, "reason": ""}},
    ]


def test_who_has_it_already_is_named(sandbox: AccountsHarness) -> None:
    result = sandbox.execute("paul", bulk_grants.grant_to_all, "PROJECT_READER", "p1", [RITA, TIM])
    assert (result.data["granted"], result.data["unchanged"]) == (["user:tim"], ["user:rita"])
    assert [entry["identity"] for entry in result.data["former"]] == ["user:tim"]


def test_all_or_none(sandbox: AccountsHarness) -> None:
    before = sandbox.state()
    for others, error in (([TIM, Identity.user("paul")], Escalation), ([TIM, Identity.user("ghost")], NotFound)):
        with pytest.raises(error):
            sandbox.execute("paul", bulk_grants.grant_to_all, "PROJECT_READER", "p1", others)
        assert sandbox.state() == before


def test_several_roles_are_revoked_with_what_they_were(sandbox: AccountsHarness) -> None:
    ends = sandbox.now() + 7 * DAY
    sandbox.grant("PROJECT_READER", "p1", "tim", interval=Interval(ends=ends), reason="campaign")
    rows = [("PROJECT_READER", "p1", TIM), ("PROJECT_READER", "p1", RITA)]
    result = sandbox.execute("paul", bulk_grants.revoke_from_all, rows, reason="over")
    assert result.data["revoked"] == ["user:tim", "user:rita"]
    assert ("user:tim", "PROJECT_READER") not in held(sandbox)
    assert result.data["former"][0]["held"] == {"starts": None, "ends": ends.isoformat(), "reason": "campaign"}
    before = sandbox.state()
    rows = [("PROJECT_EXECUTOR", "p1", Identity.user("emma")), rows[0]]
    with pytest.raises(NotFound):
        sandbox.execute("paul", bulk_grants.revoke_from_all, rows)
    assert sandbox.state() == before


def test_a_grant_that_waits_for_a_second_person(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", accounts.create_service_account, "bot")
    bot = Identity.service_account("bot")
    result = sandbox.execute("admin", bulk_grants.grant_to_all, "PROJECT_ADMIN", "p1", [TIM, bot])
    assert result.data["granted"] == ["user:tim"]
    assert len(result.data["pending_ids"]) == 1
    assert (str(bot), "PROJECT_ADMIN") not in held(sandbox)
