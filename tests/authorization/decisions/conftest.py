"""A store with two users and their sessions, and the decision service on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from aizen_hub.authorization.decisions import batch_recorder, evaluation, pending_decisions
from aizen_hub.authorization.decisions import decision_service as decision_service_module
from aizen_hub.authorization.decisions.decision_service import DecisionService
from aizen_hub.store import tables
from aizen_hub.store.sql_store import Store
from tests.authorization.decisions.decision_setup import ALICE, BOB, OTHER, PATIENT, SESSION
from tests.fixtures.timing import FakeClock
from tests.store import store_rows
from tests.store.conftest import Opener, catalog, opened, settings
from tests.store.store_rows import TESTER

__all__ = ["catalog", "opened", "settings"]


@pytest.fixture(autouse=True)
def _busy_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a decision stay fresh however long this process waits, except where a test sets the clock itself."""
    if "clock" not in request.fixturenames:
        monkeypatch.setattr(evaluation, "FRESH_SECONDS", 60.0)


@pytest.fixture
def store(opened: Opener) -> Store:
    return opened(service=PATIENT)


@pytest.fixture
def populated_store(store: Store) -> Store:
    """Alice is an executor of p1 and has a session in it; bob is a reader there."""
    with store.write(TESTER) as tx:
        for identity in (ALICE, BOB):
            store_rows.insert_user(tx, identity.name)
        for project in ("p1", "p2"):
            store_rows.insert_project(tx, project)
        store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", BOB)
        for session_id, user in ((SESSION, "alice"), (OTHER, "bob")):
            row = {"hub": "main", "server": "", "credential": session_id * 2, "project": "p1"}
            row |= {"started": tx.now, "last_seen": tx.now}
            tx.conn.execute(insert(tables.sessions).values(id=session_id, user=user, **row))
        key = {"purpose": "role", "public": b"", "state": "signing", "created": tx.now, "changed": tx.now}
        tx.conn.execute(insert(tables.keys).values(kid="key", **key))
        tx.record_change("session", {}, ["*"])
    return store


@pytest.fixture
def decisions(populated_store: Store) -> Iterator[DecisionService]:
    decisions = DecisionService(populated_store)
    yield decisions
    decisions.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Replace the clock that measures the age of decisions."""
    clock = FakeClock()
    for module in (evaluation, batch_recorder, decision_service_module, pending_decisions):
        monkeypatch.setattr(module, "boottime", clock)
    return clock
