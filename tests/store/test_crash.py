"""Processes killed while they write: every acknowledged change is there with its audit row, and the chain is intact."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.store import tables
from tests.store.conftest import Opener
from tests.store.store_rows import TESTER

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.faults
@pytest.mark.proves("R102", "I1", "I2", "I7", "T-45")
def test_killed_while_writing(opened: Opener) -> None:
    store = opened()
    rng = random.Random(20_26)  # the timing differs with the machine anyway
    acknowledged: list[tuple[int, str]] = []
    for number in range(4):
        command = [sys.executable, "-m", "tests.store.writer", store.settings.database_url, f"w{number}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(rng.uniform(0.02, 0.3))
        process.kill()
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait(10)
        complete = [line.decode().split() for line in lines if line.endswith(b"\n")]
        assert complete, "the writer wrote nothing"
        acknowledged += [(int(revision), name) for revision, name in complete]
    with store.read() as tx:
        users = set(tx.conn.scalars(select(tables.users.c.name)))
        changes = {row.revision: row for row in tx.conn.execute(select(tables.changes))}
        audit = {row.id: row for row in tx.conn.execute(select(tables.audit))}
        assert {name for _, name in acknowledged} <= users
        assert sorted(changes) == list(range(1, tx.revision + 1))
        for revision, name in acknowledged:
            assert changes[revision].payload == [{"kind": "user", "user": name}]
        # And conversely: every user has a change, every change an audit row, and every audit row a change.
        assert users == {
            change["user"] for row in changes.values() for change in row.payload if change["kind"] == "user"
        }
        assert {row.audit_id for row in changes.values()} == set(audit)
        report = verify_chains(tx.conn)
        assert report.is_intact, report.findings
    with store.write(TESTER) as tx:
        tx.audit("still-writing")
