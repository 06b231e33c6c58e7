"""The decision service: what is allowed, what is recorded, how fresh it is, and what happens when the store fails."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.sessions.token_revocation import RevocationTarget, revoke_tokens
from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.authorization.decisions import batch_recorder, evaluation, pending_decisions
from aizen_hub.authorization.decisions import decision_service as decision_service_module
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, DecisionService, RecordedDecision
from aizen_hub.authorization.decisions.evaluation import CREDENTIAL_REASONS
from aizen_hub.catalogs.catalog import ALL_KEY_VALUES
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.parser import parse_command
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import AuthorizationRequest, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import ServiceSettings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction, make_audit_record
from aizen_hub.tokens.role_token import RoleToken
from tests.fixtures.timing import FakeClock, within
from tests.store import store_rows
from tests.store.conftest import Opener, catalog, opened, settings  # noqa: F401 - fixtures
from tests.store.store_rows import READ, TESTER, TRAIN

ALICE, BOB = Identity.user("alice"), Identity.user("bob")
SESSION, OTHER = "a" * 32, "b" * 32
ISSUED = datetime.now(UTC).replace(microsecond=0)
TOKEN = RoleToken(
    "alice", SESSION, "p1", (), 3, "f" * 32, ISSUED, ISSUED, ISSUED + timedelta(days=1), key_id="key"
)  # fmt: skip
ACTOR = Actor(ALICE, Channel.KERNEL, session=SESSION, project="p1", token_id=TOKEN.token_id, source="127.0.0.1")
REQUEST = DecisionRequest(ACTOR, AuthorizationRequest(TRAIN, "p1", SESSION), token=TOKEN)


def request(permission: Permission | None = TRAIN, scope: str | None = "p1") -> DecisionRequest:
    return replace(REQUEST, request=AuthorizationRequest(permission, scope))


def with_token(**changes: Any) -> DecisionRequest:
    return replace(REQUEST, token=replace(TOKEN, **changes))


def without_token(
    identity: Identity = ALICE, channel: Channel = Channel.PANEL, permission: Permission | None = TRAIN
) -> DecisionRequest:
    return DecisionRequest(Actor(identity, channel), AuthorizationRequest(permission, "p1" if permission else SYSTEM))


CASES: dict[str, tuple[DecisionRequest, Reason]] = {
    "granted": (REQUEST, Reason.GRANTED),
    "open to all": (request(None, SYSTEM), Reason.OPEN),
    "lacking": (request(Permission("delete", "training")), Reason.NO_ASSIGNMENT),
    "another project": (request(scope="p2"), Reason.NO_ASSIGNMENT),
    "no such project": (request(scope="p9"), Reason.UNKNOWN_PROJECT),
    "no project": (request(scope=None), Reason.PROJECT_REQUIRED),
    "narrowed": (with_token(scope=frozenset({"read"})), Reason.OUTSIDE_TOKEN),
    "narrowed, open to all": (
        replace(request(None, SYSTEM), token=replace(TOKEN, scope=frozenset({"read", "execute", "manage"}))),
        Reason.OUTSIDE_TOKEN,
    ),
    "narrowed to everything": (
        replace(request(None, SYSTEM), token=replace(TOKEN, scope=frozenset({"*"}))),
        Reason.OPEN,
    ),
    "narrowed, within": (with_token(scope=frozenset({"execute"})), Reason.GRANTED),
    "no such session": (with_token(session_id="c" * 32), Reason.SESSION_ENDED),
    "another's session": (with_token(session_id=OTHER), Reason.SESSION_ENDED),
    "another's token": (with_token(subject="bob"), Reason.SESSION_ENDED),
    "another project's token": (with_token(project="p2"), Reason.PROJECT_CHANGED),
    "unknown key": (with_token(key_id="gone"), Reason.REVOKED),
    "expired by the store's time": (with_token(expires_at=ISSUED - timedelta(seconds=1)), Reason.TOKEN_EXPIRED),
    "the actor is not the subject": (replace(REQUEST, actor=replace(ACTOR, identity=BOB)), Reason.SESSION_ENDED),
    "no token, wrong session": (DecisionRequest(replace(ACTOR, session=OTHER), REQUEST.request), Reason.SESSION_ENDED),
    "no token, moved": (DecisionRequest(replace(ACTOR, project="p2"), REQUEST.request), Reason.PROJECT_CHANGED),
    "the panel has no session": (without_token(), Reason.GRANTED),
    "unknown": (without_token(Identity.user("eve"), Channel.CLI, None), Reason.NOT_ACTIVE),
    "a service account of that name": (without_token(Identity.service_account("alice")), Reason.NOT_ACTIVE),
}


PATIENT = ServiceSettings(deadline_seconds=30)
"""More time than a busy machine needs, and than a writer to SQLite, which has no fair queue, waits under load."""


@pytest.fixture(autouse=True)
def _busy_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a decision stay fresh however long this process waits, except where a test sets the clock itself."""
    if "clock" not in request.fixturenames:
        monkeypatch.setattr(evaluation, "FRESH_SECONDS", 60.0)


@pytest.fixture
def store(opened: Opener) -> Store:  # noqa: F811
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
            row = {"server": "", "credential": session_id * 2, "started": tx.now, "last_seen": tx.now, "project": "p1"}
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


def rows(store: Store, **fields: Any) -> list[dict[str, Any]]:
    with store.read() as tx:
        encoded = tx.conn.scalars(
            select(tables.audit.c.body).where(tables.audit.c.event == "decision").order_by(tables.audit.c.id)
        )
        bodies = [json.loads(bytes(body)) for body in encoded]
    return [body for body in bodies if all(body.get(name) == value for name, value in fields.items())]


def effective_rows(store: Store) -> dict[str, dict[str, Any]]:
    """Return the rows by id, without those of outdated decisions, which a later row supersedes."""
    by_id = {row["id"]: row for row in rows(store)}
    superseded = {row["details"].get("supersedes") for row in by_id.values()}
    return {id: row for id, row in by_id.items() if id not in superseded}


def write(store: Store, operation: Callable[[WriteTransaction], object]) -> int:
    with store.write(TESTER) as tx:
        operation(tx)
        return tx.revision


def end_session(tx: WriteTransaction, session_id: str = SESSION) -> None:
    tx.conn.execute(update(tables.sessions).where(tables.sessions.c.id == session_id).values(ended=tx.now))
    tx.record_change("session", {}, [f"session:{session_id}"])


def change_project(tx: WriteTransaction) -> None:
    tx.conn.execute(update(tables.sessions).where(tables.sessions.c.id == SESSION).values(project="p2"))
    tx.record_change("session", {}, [f"session:{SESSION}"])


def revoke_tokens_of_session(tx: WriteTransaction) -> None:
    tx.conn.execute(update(tables.sessions).values(min_token_revision=TOKEN.revision + 1))
    tx.record_change("session", {}, [f"session:{SESSION}"])


def key_state(state: str, ago: timedelta = timedelta()) -> Callable[[WriteTransaction], None]:
    def change(tx: WriteTransaction) -> None:
        tx.conn.execute(update(tables.keys).values(state=state, changed=ISSUED - ago))
        tx.record_change("key", {}, ["key:key"])

    return change


@pytest.mark.proves("R61", "R93", "R94", "I2")
async def test_a_decision_is_recorded_before_it_is_answered(decisions: DecisionService, populated_store: Store) -> None:
    recorded = await decisions.decide(REQUEST)
    (row,) = rows(populated_store)
    assert recorded.decision.allowed
    with populated_store.read() as tx:
        assert recorded.revision == tx.revision
    assert row == {
        "id": recorded.id, "at": row["at"], "event": "decision", "identity": "user:alice", "channel": "kernel",
        "session": SESSION, "project": "p1", "source": "127.0.0.1", "token_id": TOKEN.token_id, "allowed": True,
        "reason": "granted", "sentence": recorded.decision.sentence, "assignment": recorded.decision.assignment_id,
        "role": "PROJECT_EXECUTOR", "revision": recorded.revision,
        "details": {"scope": "p1", "permission": "execute:training"},
    }  # fmt: skip
    assert (recorded.is_fresh, recorded.code) == (True, None)


@pytest.mark.proves("R59")
@pytest.mark.parametrize(
    ("decision_request", "reason"),
    [pytest.param(*case, id=name) for name, case in CASES.items()],
)
async def test_every_denial_has_its_reason(
    decisions: DecisionService, populated_store: Store, decision_request: DecisionRequest, reason: Reason
) -> None:
    recorded = await decisions.decide(decision_request)
    assert recorded.decision.reason is reason
    assert recorded.decision.allowed is (reason in (Reason.GRANTED, Reason.OPEN))
    assert (recorded.code is None) is (reason not in CREDENTIAL_REASONS)
    (row,) = rows(populated_store, id=recorded.id)
    assert (row["allowed"], row["reason"], row["sentence"]) == (
        recorded.decision.allowed,
        reason.value,
        recorded.decision.sentence,
    )
    with populated_store.read() as tx:
        assert decisions.evaluate_unrecorded(tx, decision_request) == recorded.decision
    with populated_store.write(decision_request.actor) as tx:
        in_transaction = decisions.decide_in_transaction(tx, decision_request)
    assert in_transaction.decision == recorded.decision
    assert {**rows(populated_store, id=in_transaction.id)[0], "id": "", "at": 0} == {**row, "id": "", "at": 0}


@pytest.mark.proves("R46", "R47", "R48", "R49", "T-41", "T-54")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda tx: store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE),
            Reason.NO_ASSIGNMENT,
            id="role revoked",
        ),
        pytest.param(lambda tx: store_rows.insert_lock(tx, "identity", "user:alice"), Reason.LOCKED, id="user locked"),
        pytest.param(lambda tx: store_rows.insert_lock(tx, "project", "p1"), Reason.LOCKED, id="project locked"),
        pytest.param(lambda tx: store_rows.insert_lock(tx, "session", SESSION), Reason.LOCKED, id="session locked"),
        pytest.param(end_session, Reason.SESSION_ENDED, id="session ended"),
        pytest.param(change_project, Reason.PROJECT_CHANGED, id="project changed"),
        pytest.param(lambda tx: revoke_tokens(tx, RevocationTarget.ALL), Reason.REVOKED, id="all tokens"),
        pytest.param(
            lambda tx: revoke_tokens(tx, RevocationTarget.USER, "alice"), Reason.REVOKED, id="the user's tokens"
        ),
        pytest.param(
            lambda tx: revoke_tokens(tx, RevocationTarget.PROJECT, "p1"), Reason.REVOKED, id="the project's tokens"
        ),
        pytest.param(revoke_tokens_of_session, Reason.REVOKED, id="the session's tokens"),
        pytest.param(key_state("withdrawn"), Reason.REVOKED, id="key withdrawn"),
        pytest.param(key_state("retired", timedelta(minutes=1)), Reason.REVOKED, id="key retired before"),
        pytest.param(key_state("retired", timedelta(seconds=-5)), Reason.GRANTED, id="key retired after"),
        pytest.param(key_state("published"), Reason.GRANTED, id="key published"),
    ],
)
async def test_a_change_is_effective_once_it_is_acknowledged(
    decisions: DecisionService,
    opened: Opener,  # noqa: F811
    change: Callable[[WriteTransaction], None],
    reason: Reason,
) -> None:
    """On this replica and on another one, after both have allowed the request."""
    second = DecisionService(opened(service=PATIENT))
    try:
        for service in (decisions, second):
            assert (await service.decide(REQUEST)).decision.allowed
        revision = write(second.store, change)
        for service in (decisions, second):
            recorded = await service.decide(REQUEST)
            assert recorded.decision.reason is reason
            assert recorded.revision >= revision
    finally:
        second.close()


@pytest.mark.proves("R47", "T-41")
@pytest.mark.parametrize(
    ("target", "name"), [(RevocationTarget.USER, "alice"), (RevocationTarget.PROJECT, "p1"), (RevocationTarget.ALL, "")]
)
async def test_neither_time_nor_revision_in_a_token_prevents_its_revocation(
    decisions: DecisionService, populated_store: Store, target: RevocationTarget, name: str
) -> None:
    with populated_store.read() as tx:
        # Issued just now, by a clock that was set back since.
        ahead = with_token(revision=tx.revision, issued_at=tx.now.replace(microsecond=0) + timedelta(seconds=20))
    forged = with_token(revision=1 << 40, issued_at=ISSUED - timedelta(seconds=1))
    assert [(await decisions.decide(token)).decision.allowed for token in (ahead, forged)] == [True, True]
    write(populated_store, lambda tx: revoke_tokens(tx, target, name))
    reasons = [(await decisions.decide(token)).decision.reason for token in (ahead, forged)]
    assert reasons == [Reason.REVOKED, Reason.REVOKED]


@pytest.mark.proves("R48", "I3", "T-07", "T-54")
async def test_revocation_under_concurrent_load(decisions: DecisionService, opened: Opener) -> None:  # noqa: F811
    """Grant and revoke in turn under load; every request that starts after an acknowledgement sees the change."""
    second, writer = DecisionService(opened(service=PATIENT)), opened(service=PATIENT)
    stop = asyncio.Event()
    bob = DecisionRequest(Actor(BOB, Channel.PANEL), AuthorizationRequest(READ, "p1"))

    async def load() -> None:
        while not stop.is_set():
            assert (await decisions.decide(bob)).decision.allowed

    busy = [asyncio.create_task(load()) for _ in range(4)]
    try:
        for _ in range(25):
            revision = await asyncio.to_thread(
                write, writer, lambda tx: store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
            )
            for recorded in await asyncio.gather(decisions.decide(REQUEST), second.decide(REQUEST)):
                assert not recorded.decision.allowed
                assert recorded.revision >= revision
            revision = await asyncio.to_thread(
                write, writer, lambda tx: store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
            )
            for recorded in await asyncio.gather(decisions.decide(REQUEST), second.decide(REQUEST)):
                assert recorded.decision.allowed
                assert recorded.revision >= revision
    finally:
        stop.set()
        await asyncio.gather(*busy)
        second.close()


@pytest.mark.proves("R54", "R70", "T-06")
async def test_a_user_who_acts_for_another_is_checked_too(decisions: DecisionService, populated_store: Store) -> None:
    acting = DecisionRequest(replace(ACTOR, acting=BOB), REQUEST.request, token=replace(TOKEN, actor="bob"))
    denied = await decisions.decide(acting)
    assert (denied.decision.reason, rows(populated_store)[0]["acting"]) == (Reason.NOT_ACTIVE, "user:bob")
    endpoints = {**populated_store.catalog.endpoints, "impersonate": Permission("impersonate", "user")}
    populated_store.catalog = replace(populated_store.catalog, endpoints=endpoints)
    assert (await decisions.decide(acting)).decision.reason is Reason.NO_ASSIGNMENT

    def allow(tx: WriteTransaction) -> None:
        row = {"description": "", "category": "", "scopes": ["system"], "limits": {}, "version": 1}
        tx.conn.execute(insert(tables.roles).values(name="HELPER", permissions=["impersonate:user"], **row))
        tx.record_change("role", {}, ["role:HELPER"])
        store_rows.insert_assignment(tx, "HELPER", SYSTEM, BOB)
        store_rows.insert_assignment(tx, "PROJECT_ADMIN", "p1", BOB)

    write(populated_store, allow)
    assert (await decisions.decide(acting)).decision.allowed
    more = replace(acting, request=AuthorizationRequest(Permission("delete", "training"), "p1"))
    assert not (await decisions.decide(more)).decision.allowed, "the rights of the acting user are not added"
    write(populated_store, lambda tx: store_rows.insert_lock(tx, "identity", "user:bob"))
    assert (await decisions.decide(acting)).decision.reason is Reason.LOCKED


@pytest.mark.proves("I2", "I7")
async def test_one_row_for_each_answer(decisions: DecisionService, populated_store: Store) -> None:
    requests = [replace(REQUEST, request=AuthorizationRequest(TRAIN, f"p{number % 3}")) for number in range(300)]
    decisions_made = await asyncio.gather(*map(decisions.decide, requests))
    by_id = effective_rows(populated_store)
    assert len(by_id) == len(decisions_made) == 300
    for decision_request, recorded in zip(requests, decisions_made, strict=True):
        row = by_id[recorded.id]
        assert (row["allowed"], row["details"]["scope"]) == (recorded.decision.allowed, decision_request.request.scope)
    with populated_store.read() as tx:
        report = verify_chains(tx.conn)
    assert report.is_intact, report.findings


async def test_pending_requests_share_a_transaction(decisions: DecisionService, populated_store: Store) -> None:
    await asyncio.gather(*(decisions.decide(REQUEST) for _ in range(100)))
    # All rows of a transaction have the same time of the store.
    assert len({row["at"] for row in rows(populated_store)}) < 60


@pytest.mark.proves("R98")
async def test_secret_arguments_are_not_recorded(populated_store: Store) -> None:
    command = parse_command("configure datasource db password=hunter2", populated_store.catalog)
    command = replace(command, entry=replace(command.entry, secret=frozenset({ALL_KEY_VALUES})))
    decision_request = replace(
        REQUEST, request=build_authorization_request(command, "p1", ALICE, SESSION), command=command
    )
    hasher = SecretHasher(bytes(range(32)))
    for redactor, expected in ((None, "***"), (hasher, hasher.hash_secret("hunter2"))):
        decisions = DecisionService(populated_store, redactor)
        recorded = await decisions.decide(decision_request)
        with populated_store.write(ACTOR) as tx:
            in_transaction = decisions.decide_in_transaction(tx, decision_request)
        decisions.close()
        for decision_id in (recorded.id, in_transaction.id):
            assert rows(populated_store, id=decision_id)[0]["command"] == f"configure datasource db password={expected}"
    with populated_store.read() as tx:
        assert not [body for body in tx.conn.scalars(select(tables.audit.c.body)) if b"hunter2" in bytes(body)]


@pytest.mark.proves("R81")
def test_the_caller_records_the_decision_of_a_failed_transaction(
    decisions: DecisionService, populated_store: Store
) -> None:
    with pytest.raises(ZeroDivisionError), populated_store.write(ACTOR) as tx:  # noqa: PT012
        store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        recorded = decisions.decide_in_transaction(tx, REQUEST)
        assert not recorded.decision.allowed, "it sees the changes of the transaction"
        raise ZeroDivisionError
    assert rows(populated_store) == []
    populated_store.append_audit([decisions.audit_record(recorded, REQUEST)])
    (row,) = rows(populated_store)
    assert (row["id"], row["allowed"]) == (recorded.id, False)


# --- freshness


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Replace the clock that measures the age of decisions."""
    clock = FakeClock()
    for module in (evaluation, batch_recorder, decision_service_module, pending_decisions):
        monkeypatch.setattr(module, "boottime", clock)
    return clock


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


# --- failures


@pytest.mark.proves("R79", "R107", "I8", "I10")
async def test_a_store_that_hangs_allows_nothing(populated_store: Store, opened: Opener) -> None:  # noqa: F811
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
