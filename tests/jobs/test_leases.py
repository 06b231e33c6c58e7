"""Leases on open commands: expired and invalid ones are claimed, through an index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from aizen_hub.jobs import leases
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

_O = tables.open_commands.c


@pytest.fixture
def harness(populated_folder: Path, tmp_path: Path) -> Iterator[AccountsHarness]:
    shutil.copytree(populated_folder, tmp_path / "data")
    harness = open_harness(tmp_path / "data")
    yield harness
    harness.close()


@pytest.mark.parametrize(("seconds", "claimed"), [(-1.0, True), (5.0, False), (3_600.0, True)])
def test_a_lease_set_by_a_wrong_clock_is_claimed(harness: AccountsHarness, seconds: float, claimed: bool) -> None:
    with harness.write(OPERATOR) as tx:
        values = {"user": "emma", "command": "list trainings", "owner": "gone", "lost": False}
        until = tx.now + timedelta(seconds=seconds)
        tx.conn.execute(insert(tables.open_commands).values(decision_id="a", lease_until=until, **values))
    with harness.write(OPERATOR) as tx:
        assert leases.any_unowned(tx) is claimed
        assert [row.decision_id for row in leases.claim(tx, "me", 10)] == (["a"] if claimed else [])
        assert leases.is_owner(tx, "a", "me", 1.0) is claimed
        assert not leases.any_unowned(tx)


def test_polling_uses_an_index(harness: AccountsHarness) -> None:
    with harness.read() as tx:
        query = str(
            select(_O.decision_id).where(leases._is_unowned(tx)).compile(compile_kwargs={"literal_binds": True})
        )
        plan = " ".join(str(row) for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
    assert "ix_open_commands_lease_until" in plan
    assert "SCAN" not in plan
