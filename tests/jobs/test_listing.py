"""The jobs of one identity: open ones first, ended ones for a week, and which one the end of an id names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from aizen_hub.jobs.listing import LISTED_FOR, find_own_job, list_own_jobs
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

EMMA = Identity.user("emma")


@pytest.fixture
def harness(populated_folder: Path, tmp_path: Path) -> Iterator[AccountsHarness]:
    shutil.copytree(populated_folder, tmp_path / "data")
    harness = open_harness(tmp_path / "data")
    yield harness
    harness.close()


def add_open(tx: WriteTransaction, id: str, *, user: str = "emma", lost: bool = False, job: bool = True) -> None:
    common = {"decision_id": id, "user": user, "project": "p1", "command": "start training churn"}
    lease = {"owner": "o", "lease_until": tx.now + timedelta(seconds=60), "lost": lost}
    tx.conn.execute(insert(tables.open_commands).values(**common, **lease))
    if job:
        tx.conn.execute(insert(tables.jobs).values(**common, key="training churn", started=tx.now))


def add_ended(tx: WriteTransaction, id: str, ago: timedelta, outcome: str = "failed", user: str = "emma") -> None:
    values = {"decision_id": id, "user": user, "project": "p1", "command": "start training churn"}
    ended = tx.now - ago
    tx.conn.execute(
        insert(tables.jobs).values(**values, key="training churn", started=ended, ended=ended, outcome=outcome)
    )


def test_open_ones_come_first_and_old_ones_are_left_out(harness: AccountsHarness) -> None:
    with harness.write(OPERATOR) as tx:
        add_ended(tx, "0a", timedelta(minutes=1))
        add_ended(tx, "0b", timedelta(minutes=2), outcome="done")
        add_ended(tx, "0c", LISTED_FOR + timedelta(minutes=1))
        add_ended(tx, "0d", timedelta(minutes=1), user="rita")
        add_open(tx, "0e")
        add_open(tx, "0f", lost=True)
        add_open(tx, "10", job=False)
        add_open(tx, "11", user="rita")
        # Ended by `stop …`; its stream is still open.
        add_ended(tx, "12", timedelta(seconds=1), outcome="stopped")
        add_open(tx, "12", job=False)
        jobs = list_own_jobs(tx, EMMA, limit=10)
        assert [(job.id, job.state) for job in jobs] == [
            ("10", "running"),
            ("0f", "unknown"),
            ("0e", "running"),
            ("12", "stopped"),
            ("0a", "failed"),
            ("0b", "done"),
        ]
        assert [job.is_open for job in jobs] == [True, True, True, False, False, False]
        assert jobs[0].started is None
        assert jobs[2].started is not None
        assert [job.id for job in list_own_jobs(tx, EMMA, limit=10, running_only=True)] == ["10", "0f", "0e"]
        assert [job.id for job in list_own_jobs(tx, EMMA, limit=3)] == ["10", "0f", "0e", "12"], "one more"


def test_the_end_of_an_id_names_one_job_only(harness: AccountsHarness) -> None:
    first, second = f"{'1' * 30}abcd", f"{'2' * 30}abcd"
    with harness.write(OPERATOR) as tx:
        add_open(tx, first)
        add_ended(tx, second, timedelta(minutes=1))
        add_open(tx, f"{'3' * 30}beef", user="rita")
        assert find_own_job(tx, EMMA, first).id == first
        assert find_own_job(tx, EMMA, "2abcd").id == second
        with pytest.raises(BadInput, match="2 of your jobs end with `abcd`"):
            find_own_job(tx, EMMA, "abcd")
        for absent in ("bcd", "beef", "%", "ABCD", ""):
            with pytest.raises(NotFound):
                find_own_job(tx, EMMA, absent)
