"""Processes killed while they write: what was acknowledged is there, with its row, and the chain is whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from aizen_hub.audit.integrity.chain_verifier import verify
from aizen_hub.store import tables
from tests.store.conftest import Opener
from tests.store.world import TESTER

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.faults
@pytest.mark.proves("R102", "I1", "I2", "I7", "T-45")
def test_killed_while_writing(opened: Opener) -> None:
    store = opened()
    dice = random.Random(20_26)  # the moments differ with the machine anyway
    acknowledged: list[tuple[int, str]] = []
    for number in range(4):
        command = [sys.executable, "-m", "tests.store.writer", store.settings.database_url, f"w{number}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(dice.uniform(0.02, 0.3))
        process.kill()
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait(10)
        whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
        assert whole, "the writer wrote nothing"
        acknowledged += [(int(revision), name) for revision, name in whole]
    with store.read() as tx:
        users = set(tx.conn.scalars(select(tables.users.c.name)))
        changes = {row.revision: row for row in tx.conn.execute(select(tables.changes))}
        audit = {row.id: row for row in tx.conn.execute(select(tables.audit))}
        assert {name for _, name in acknowledged} <= users
        assert sorted(changes) == list(range(1, tx.revision + 1))
        for revision, name in acknowledged:
            assert changes[revision].payload == [{"kind": "user", "user": name}]
        # The other way round as well: every user came with a change, every change with a row, every row with a change.
        assert users == {one["user"] for row in changes.values() for one in row.payload if one["kind"] == "user"}
        assert {row.audit_id for row in changes.values()} == set(audit)
        report = verify(tx.conn)
        assert report.sound, report.findings
    with store.write(TESTER) as tx:
        tx.audit("still-writing")
