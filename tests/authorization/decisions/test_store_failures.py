"""What the decision service does when its store fails, or is changed behind it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from sqlalchemy import select, text, update

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.authorization.decisions import decision_service as decision_service_module
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, DecisionService, RecordedDecision
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.settings import ServiceSettings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from tests.authorization.decisions.decision_setup import ACTOR, BOB, REQUEST, effective_rows, rows, write
from tests.fixtures.timing import within
from tests.store.conftest import Opener
from tests.store.store_rows import READ


@pytest.mark.proves("R79", "R107", "I8", "I10")
async def test_a_store_that_hangs_allows_nothing(populated_store: Store, opened: Opener) -> None:
    decisions = DecisionService(opened(service=ServiceSettings(deadline_seconds=3)))
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        conn = populated_store.database.engine.connect()
        conn.exec_driver_sql("BEGIN IMMEDIATE" if populated_store.database.embedded else "BEGIN")
        if not populated_store.database.embedded:
            conn.exec_driver_sql("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        holding.set()
        done.wait(120)
        populated_store.database.rollback(conn)
        conn.close()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    # One deadline after the other, for twenty decisions, would take a minute.
    with within(25):
        answers = await asyncio.gather(*(decisions.decide(REQUEST) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    done.set()
    thread.join()
    assert (await _recovered(decisions)).decision.allowed
    decisions.close()
    with populated_store.read() as tx:
        assert verify_chains(tx.conn).is_intact


async def _recovered(decisions: DecisionService, seconds: float = 30.0) -> RecordedDecision:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await decisions.decide(REQUEST)
        except Unavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


@pytest.mark.needs("postgres")
@pytest.mark.proves("R105", "I8", "I10")
@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_killed_connections_are_replaced(decisions: DecisionService, populated_store: Store) -> None:
    for _ in range(3):
        await decisions.decide(REQUEST)
        with populated_store.read() as tx:
            tx.conn.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                 " WHERE datname = current_database() AND pid <> pg_backend_pid()"))  # fmt: skip
        assert (await _recovered(decisions)).decision.allowed
    with populated_store.read() as tx:
        assert verify_chains(tx.conn).is_intact


@pytest.mark.proves("R93", "R59")
async def test_an_invalid_row_does_not_fail_the_others(decisions: DecisionService, populated_store: Store) -> None:
    reject_audit_rows(populated_store, "alice-is-not-recorded", "NEW.identity = 'user:alice'")
    bob = DecisionRequest(Actor(BOB, Channel.PANEL), AuthorizationRequest(READ, "p1"))
    answers = await asyncio.gather(
        *(decisions.decide(request) for request in [bob, REQUEST] * 10), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [RecordedDecision, Unavailable] * 10
    identities = {row["id"]: row["identity"] for row in rows(populated_store)}
    assert set(identities.values()) == {"user:bob"}
    assert {answer.id for answer in answers if isinstance(answer, RecordedDecision)} <= set(identities)


@pytest.mark.proves("R93", "R108", "I2")
async def test_without_its_audit_row_nothing_is_allowed(decisions: DecisionService, populated_store: Store) -> None:
    reject_audit_rows(populated_store, "nothing-is-recorded", "1 = 1")
    with pytest.raises(Unavailable):
        await decisions.decide(REQUEST)
    assert rows(populated_store) == []


def reject_audit_rows(store: Store, name: str, when: str) -> None:
    """Make the database reject audit rows."""
    with store.database.engine.connect() as conn:
        if store.database.embedded:
            conn.exec_driver_sql(
                f"CREATE TRIGGER \"{name}\" BEFORE INSERT ON audit WHEN {when} BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        else:
            conn.exec_driver_sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                                 " $$ BEGIN RAISE unique_violation; END $$")  # fmt: skip
            conn.exec_driver_sql(
                f'CREATE TRIGGER "{name}" BEFORE INSERT ON audit FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()'
            )


@pytest.mark.proves("R94", "I8")
async def test_rows_of_other_writers_do_not_collide(decisions: DecisionService, populated_store: Store) -> None:
    """Denials, logins and reads are recorded concurrently with decisions, and the chain stays intact."""

    def record() -> None:
        for _ in range(25):
            with populated_store.read() as tx:
                now = tx.now
            populated_store.append_audit([make_audit_record(ACTOR, "login", now)])

    threads = [asyncio.to_thread(record) for _ in range(4)]
    await asyncio.gather(*threads, *(decisions.decide(REQUEST) for _ in range(50)))
    with populated_store.read() as tx:
        report = verify_chains(tx.conn)
        events = list(tx.conn.scalars(select(tables.audit.c.event)))
    assert report.is_intact, report.findings
    assert events.count("login") == 100


@pytest.mark.proves("R109")
async def test_another_catalog_in_force_stops_decisions(decisions: DecisionService, populated_store: Store) -> None:
    write(
        populated_store,
        lambda tx: (
            tx.conn.execute(update(tables.revision).values(catalog_hash="0" * 64)),
            tx.record_change("catalog", {}, ["*"]),
        ),
    )
    with pytest.raises(Unavailable, match="another catalog"):
        await decisions.decide(REQUEST)
    with populated_store.read() as tx, pytest.raises(Unavailable, match="another catalog"):
        decisions.evaluate_unrecorded(tx, REQUEST)
    with populated_store.write(ACTOR) as tx:
        with pytest.raises(Unavailable, match="another catalog"):
            decisions.decide_in_transaction(tx, REQUEST)
        with pytest.raises(Unavailable, match="another catalog"):
            server_sessions.open_session(tx, "alice", "alice", "", "p1", "0" * 64)


@pytest.mark.proves("T-40")
async def test_a_database_that_was_set_back_stops_decisions(decisions: DecisionService, populated_store: Store) -> None:
    await decisions.decide(REQUEST)
    with populated_store.database.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE revision SET value = value - 1")
    with pytest.raises(Unavailable, match="set back"):
        await decisions.decide(REQUEST)


@pytest.mark.proves("R127", "T-36", "I8")
async def test_the_queue_is_bounded(
    decisions: DecisionService, populated_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_service_module, "MAX_PENDING", 10)
    answers = await asyncio.gather(*(decisions.decide(REQUEST) for _ in range(200)), return_exceptions=True)
    kinds = [type(answer) for answer in answers]
    assert set(kinds) == {RecordedDecision, Unavailable}
    assert len(effective_rows(populated_store)) == kinds.count(RecordedDecision)


async def test_no_request_waits_for_a_closed_service(decisions: DecisionService) -> None:
    pending = [asyncio.create_task(decisions.decide(REQUEST)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.to_thread(decisions.close)
    assert all(recorded.decision.allowed for recorded in await asyncio.gather(*pending)), (
        "earlier requests are answered"
    )
    with pytest.raises(Unavailable, match="stopping"):
        await decisions.decide(REQUEST)
    decisions.close()


async def test_cancelled_requests_are_not_decided(decisions: DecisionService, populated_store: Store) -> None:
    tasks = [asyncio.create_task(decisions.decide(REQUEST)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await decisions.decide(REQUEST)).decision.allowed
    with populated_store.read() as tx:
        assert verify_chains(tx.conn).is_intact
