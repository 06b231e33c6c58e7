"""No decision is answered once it is outdated."""

from __future__ import annotations

import asyncio
import time

import pytest

from aizen_hub.authorization.decisions.decision_service import DecisionService, RecordedDecision
from aizen_hub.store.sql_store import Store
from tests.authorization.decisions.decision_setup import ALICE, ISSUED, REQUEST, rows, write
from tests.fixtures.timing import FakeClock
from tests.store import store_rows


@pytest.mark.proves("R48", "R81")
async def test_an_outdated_decision_is_made_again(
    decisions: DecisionService, populated_store: Store, clock: FakeClock
) -> None:
    """The process pauses between the commit and the answer, and in the pause the right is revoked."""
    task = asyncio.create_task(decisions.decide(REQUEST))
    for _ in range(3):  # queued, batched, handed to the thread
        await asyncio.sleep(0)
    deadline = time.monotonic() + 30
    while not rows(populated_store):  # decided and recorded, but not delivered to this loop
        assert time.monotonic() < deadline
    write(populated_store, lambda tx: store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE))
    clock.advance(0.3)
    recorded = await task
    assert not recorded.decision.allowed
    first, second = rows(populated_store)
    assert (first["allowed"], second["allowed"]) == (True, False)
    assert (second["id"], second["details"]["supersedes"]) == (recorded.id, first["id"])


def test_a_decision_becomes_outdated(clock: FakeClock) -> None:
    recorded = RecordedDecision("", None, 1, ISSUED, clock())  # type: ignore[arg-type]
    clock.advance(0.24)
    assert recorded.is_fresh
    clock.advance(0.02)
    assert not recorded.is_fresh
