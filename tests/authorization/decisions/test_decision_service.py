"""The court: what is allowed, what is on record, how fresh it is, and what happens when the store fails."""

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

from aizen_hub.accounts.sessions import sessions
from aizen_hub.accounts.sessions.token_revocation import Whose, revoke
from aizen_hub.audit.integrity.chain_verifier import verify
from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.authorization.decisions import decision_service as court_module
from aizen_hub.authorization.decisions.decision_service import Court, Question, Ruling
from aizen_hub.authorization.decisions.evaluation import CREDENTIAL_REASONS, clock
from aizen_hub.catalogs.catalog import EVERY_PAIR
from aizen_hub.commands.authorization_request import request_for
from aizen_hub.commands.parser import read
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.decision import Reason, Request
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import ServiceSettings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Write, make_row
from aizen_hub.tokens.role_token import RoleToken
from tests.store import world
from tests.store.conftest import Opener, catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.world import READ, TESTER, TRAIN

ALICE, BOB = Identity.user("alice"), Identity.user("bob")
SESSION, OTHER = "a" * 32, "b" * 32
ISSUED = datetime.now(UTC).replace(microsecond=0)
TOKEN = RoleToken(
    "alice", SESSION, "p1", (), 3, "f" * 32, ISSUED, ISSUED, ISSUED + timedelta(days=1), key_id="key"
)  # fmt: skip
ACTOR = Actor(ALICE, Road.KERNEL, session=SESSION, project="p1", token_id=TOKEN.token_id, source="127.0.0.1")
ASKED = Question(ACTOR, Request(TRAIN, "p1", SESSION), token=TOKEN)


def asked(permission: Permission | None = TRAIN, scope: str | None = "p1") -> Question:
    return replace(ASKED, request=Request(permission, scope))


def token(**changes: Any) -> Question:
    return replace(ASKED, token=replace(TOKEN, **changes))


def tokenless(identity: Identity = ALICE, road: Road = Road.PANEL, permission: Permission | None = TRAIN) -> Question:
    return Question(Actor(identity, road), Request(permission, "p1" if permission else SYSTEM))


CASES: dict[str, tuple[Question, Reason]] = {
    "granted": (ASKED, Reason.GRANTED),
    "open to all": (asked(None, SYSTEM), Reason.OPEN),
    "lacking": (asked(Permission("delete", "training")), Reason.NO_ASSIGNMENT),
    "another project": (asked(scope="p2"), Reason.NO_ASSIGNMENT),
    "no such project": (asked(scope="p9"), Reason.UNKNOWN_PROJECT),
    "no project": (asked(scope=None), Reason.PROJECT_REQUIRED),
    "narrowed": (token(scope=frozenset({"read"})), Reason.OUTSIDE_TOKEN),
    "narrowed, open to all": (
        replace(asked(None, SYSTEM), token=replace(TOKEN, scope=frozenset({"read", "execute", "manage"}))),
        Reason.OUTSIDE_TOKEN,
    ),
    "narrowed to everything": (
        replace(asked(None, SYSTEM), token=replace(TOKEN, scope=frozenset({"*"}))),
        Reason.OPEN,
    ),
    "narrowed, within": (token(scope=frozenset({"execute"})), Reason.GRANTED),
    "no such session": (token(session="c" * 32), Reason.SESSION_ENDED),
    "another's session": (token(session=OTHER), Reason.SESSION_ENDED),
    "another's token": (token(subject="bob"), Reason.SESSION_ENDED),
    "another project's token": (token(project="p2"), Reason.PROJECT_CHANGED),
    "unknown key": (token(key_id="gone"), Reason.REVOKED),
    "expired by the store's time": (token(expires_at=ISSUED - timedelta(seconds=1)), Reason.TOKEN_EXPIRED),
    "the actor is not the subject": (replace(ASKED, actor=replace(ACTOR, identity=BOB)), Reason.SESSION_ENDED),
    "no token, wrong session": (Question(replace(ACTOR, session=OTHER), ASKED.request), Reason.SESSION_ENDED),
    "no token, moved": (Question(replace(ACTOR, project="p2"), ASKED.request), Reason.PROJECT_CHANGED),
    "the panel has no session": (tokenless(), Reason.GRANTED),
    "unknown": (tokenless(Identity.user("eve"), Road.CLI, None), Reason.NOT_ACTIVE),
    "a service account of that name": (tokenless(Identity.service_account("alice")), Reason.NOT_ACTIVE),
}


@pytest.fixture
def town(store: Store) -> Store:  # noqa: F811
    """Alice is an executor of p1 and sits in a session of it; bob reads there."""
    with store.write(TESTER) as tx:
        for one in (ALICE, BOB):
            world.user(tx, one.name)
        for project in ("p1", "p2"):
            world.project(tx, project)
        world.grant(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        world.grant(tx, "PROJECT_READER", "p1", BOB)
        for number, user in ((SESSION, "alice"), (OTHER, "bob")):
            row = {"server": "", "credential": number * 2, "started": tx.now, "heard": tx.now, "project": "p1"}
            tx.conn.execute(insert(tables.sessions).values(id=number, user=user, **row))
        key = {"purpose": "role", "public": b"", "state": "signing", "created": tx.now, "changed": tx.now}
        tx.conn.execute(insert(tables.keys).values(kid="key", **key))
        tx.change("session", {}, ["*"])
    return store


@pytest.fixture
def court(town: Store) -> Iterator[Court]:
    court = Court(town)
    yield court
    court.close()


def rows(store: Store, **where: Any) -> list[dict[str, Any]]:  # noqa: F811
    with store.read() as tx:
        found = tx.conn.scalars(
            select(tables.audit.c.body).where(tables.audit.c.event == "decision").order_by(tables.audit.c.id)
        )
        bodies = [json.loads(bytes(body)) for body in found]
    return [body for body in bodies if all(body.get(name) == value for name, value in where.items())]


def answered(store: Store) -> dict[str, dict[str, Any]]:  # noqa: F811
    """Return the rows that stand: not those of an answer that came too late, which a later row names and replaces."""
    found = {row["id"]: row for row in rows(store)}
    replaced = {row["details"].get("again") for row in found.values()}
    return {number: row for number, row in found.items() if number not in replaced}


def do(store: Store, work: Callable[[Write], object]) -> int:  # noqa: F811
    with store.write(TESTER) as tx:
        work(tx)
        return tx.revision


def ended(tx: Write, number: str = SESSION) -> None:
    tx.conn.execute(update(tables.sessions).where(tables.sessions.c.id == number).values(ended=tx.now))
    tx.change("session", {}, [f"session:{number}"])


def moved(tx: Write) -> None:
    tx.conn.execute(update(tables.sessions).where(tables.sessions.c.id == SESSION).values(project="p2"))
    tx.change("session", {}, [f"session:{SESSION}"])


def tokens_from(tx: Write) -> None:
    tx.conn.execute(update(tables.sessions).values(tokens_from=TOKEN.revision + 1))
    tx.change("session", {}, [f"session:{SESSION}"])


def key_state(state: str, ago: timedelta = timedelta()) -> Callable[[Write], None]:
    def work(tx: Write) -> None:
        tx.conn.execute(update(tables.keys).values(state=state, changed=ISSUED - ago))
        tx.change("key", {}, ["key:key"])

    return work


@pytest.mark.proves("R61", "R93", "R94", "I2")
async def test_a_decision_is_on_record_before_it_is_answered(court: Court, town: Store) -> None:
    ruling = await court.decide(ASKED)
    (row,) = rows(town)
    assert ruling.decision.allowed
    with town.read() as tx:
        assert ruling.revision == tx.revision
    assert row == {
        "id": ruling.id, "at": row["at"], "event": "decision", "identity": "user:alice", "road": "kernel",
        "session": SESSION, "project": "p1", "source": "127.0.0.1", "token_id": TOKEN.token_id, "allowed": True,
        "reason": "granted", "sentence": ruling.decision.sentence, "assignment": ruling.decision.assignment,
        "role": "PROJECT_EXECUTOR", "revision": ruling.revision,
        "details": {"scope": "p1", "permission": "execute:training"},
    }  # fmt: skip
    assert (ruling.fresh, ruling.code) == (True, None)


@pytest.mark.proves("R59")
@pytest.mark.parametrize(
    ("question", "reason"),
    [pytest.param(*case, id=name) for name, case in CASES.items()],
)
async def test_every_way_to_fail_has_its_reason(court: Court, town: Store, question: Question, reason: Reason) -> None:
    ruling = await court.decide(question)
    assert ruling.decision.reason is reason
    assert ruling.decision.allowed is (reason in (Reason.GRANTED, Reason.OPEN))
    assert (ruling.code is None) is (reason not in CREDENTIAL_REASONS)
    (row,) = rows(town, id=ruling.id)
    assert (row["allowed"], row["reason"], row["sentence"]) == (
        ruling.decision.allowed,
        reason.value,
        ruling.decision.sentence,
    )
    with town.read() as tx:
        assert court.judge(tx, question) == ruling.decision
    with town.write(question.actor) as tx:
        within = court.decide_in(tx, question)
    assert within.decision == ruling.decision
    assert {**rows(town, id=within.id)[0], "id": "", "at": 0} == {**row, "id": "", "at": 0}


@pytest.mark.proves("R46", "R47", "R48", "R49", "T-41", "T-54")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda tx: world.revoke(tx, "PROJECT_EXECUTOR", "p1", ALICE), Reason.NO_ASSIGNMENT, id="role revoked"
        ),
        pytest.param(lambda tx: world.lock(tx, "identity", "user:alice"), Reason.LOCKED, id="user locked"),
        pytest.param(lambda tx: world.lock(tx, "project", "p1"), Reason.LOCKED, id="project locked"),
        pytest.param(lambda tx: world.lock(tx, "session", SESSION), Reason.LOCKED, id="session locked"),
        pytest.param(ended, Reason.SESSION_ENDED, id="session ended"),
        pytest.param(moved, Reason.PROJECT_CHANGED, id="project changed"),
        pytest.param(lambda tx: revoke(tx, Whose.ALL), Reason.REVOKED, id="all tokens"),
        pytest.param(lambda tx: revoke(tx, Whose.USER, "alice"), Reason.REVOKED, id="the user's tokens"),
        pytest.param(lambda tx: revoke(tx, Whose.PROJECT, "p1"), Reason.REVOKED, id="the project's tokens"),
        pytest.param(tokens_from, Reason.REVOKED, id="the session's tokens"),
        pytest.param(key_state("withdrawn"), Reason.REVOKED, id="key withdrawn"),
        pytest.param(key_state("retired", timedelta(minutes=1)), Reason.REVOKED, id="key retired before"),
        pytest.param(key_state("retired", timedelta(seconds=-5)), Reason.GRANTED, id="key retired after"),
        pytest.param(key_state("published"), Reason.GRANTED, id="key published"),
    ],
)
async def test_a_change_counts_from_its_acknowledgement_on(
    court: Court,
    opened: Opener,  # noqa: F811
    change: Callable[[Write], None],
    reason: Reason,
) -> None:
    """On this replica and on another one, both of which had said yes just before."""
    second = Court(opened())
    try:
        for one in (court, second):
            assert (await one.decide(ASKED)).decision.allowed
        revision = do(second.store, change)
        for one in (court, second):
            ruling = await one.decide(ASKED)
            assert ruling.decision.reason is reason
            assert ruling.revision >= revision
    finally:
        second.close()


@pytest.mark.proves("R47", "T-41")
@pytest.mark.parametrize(("whose", "name"), [(Whose.USER, "alice"), (Whose.PROJECT, "p1"), (Whose.ALL, "")])
async def test_neither_the_time_nor_the_revision_in_a_token_saves_it(
    court: Court, town: Store, whose: Whose, name: str
) -> None:
    with town.read() as tx:
        # Made just now, by a clock that was set back since.
        ahead = token(revision=tx.revision, issued_at=tx.now.replace(microsecond=0) + timedelta(seconds=20))
    forged = token(revision=1 << 40, issued_at=ISSUED - timedelta(seconds=1))
    assert [(await court.decide(one)).decision.allowed for one in (ahead, forged)] == [True, True]
    do(town, lambda tx: revoke(tx, whose, name))
    found = [(await court.decide(one)).decision.reason for one in (ahead, forged)]
    assert found == [Reason.REVOKED, Reason.REVOKED]


@pytest.mark.proves("R48", "I3", "T-07", "T-54")
async def test_revoked_while_others_ask(court: Court, opened: Opener) -> None:  # noqa: F811
    """Grant and revoke in turn under load; every question that starts after an acknowledgement shows it."""
    # SQLite serves nobody in turn: under this load a writer in another store waits as long as it happens to.
    patient = ServiceSettings(deadline_seconds=20)
    second, writer = Court(opened(service=patient)), opened(service=patient)
    stop = asyncio.Event()
    bob = Question(Actor(BOB, Road.PANEL), Request(READ, "p1"))

    async def load() -> None:
        while not stop.is_set():
            assert (await court.decide(bob)).decision.allowed

    busy = [asyncio.create_task(load()) for _ in range(4)]
    try:
        for _ in range(25):
            revision = await asyncio.to_thread(do, writer, lambda tx: world.revoke(tx, "PROJECT_EXECUTOR", "p1", ALICE))
            for ruling in await asyncio.gather(court.decide(ASKED), second.decide(ASKED)):
                assert not ruling.decision.allowed
                assert ruling.revision >= revision
            revision = await asyncio.to_thread(do, writer, lambda tx: world.grant(tx, "PROJECT_EXECUTOR", "p1", ALICE))
            for ruling in await asyncio.gather(court.decide(ASKED), second.decide(ASKED)):
                assert ruling.decision.allowed
                assert ruling.revision >= revision
    finally:
        stop.set()
        await asyncio.gather(*busy)
        second.close()


@pytest.mark.proves("R54", "R70", "T-06")
async def test_whoever_acts_for_somebody_is_judged_as_well(court: Court, town: Store) -> None:
    acting = Question(replace(ACTOR, acting=BOB), ASKED.request, token=replace(TOKEN, actor="bob"))
    refused = await court.decide(acting)
    assert (refused.decision.reason, rows(town)[0]["acting"]) == (Reason.NOT_ACTIVE, "user:bob")
    endpoints = {**town.catalog.endpoints, "impersonate": Permission("impersonate", "user")}
    town.catalog = replace(town.catalog, endpoints=endpoints)
    assert (await court.decide(acting)).decision.reason is Reason.NO_ASSIGNMENT

    def allow(tx: Write) -> None:
        row = {"description": "", "category": "", "scopes": ["system"], "limits": {}, "version": 1}
        tx.conn.execute(insert(tables.roles).values(name="HELPER", permissions=["impersonate:user"], **row))
        tx.change("role", {}, ["role:HELPER"])
        world.grant(tx, "HELPER", SYSTEM, BOB)
        world.grant(tx, "PROJECT_ADMIN", "p1", BOB)

    do(town, allow)
    assert (await court.decide(acting)).decision.allowed
    more = replace(acting, request=Request(Permission("delete", "training"), "p1"))
    assert not (await court.decide(more)).decision.allowed, "what the helper holds is not added"
    do(town, lambda tx: world.lock(tx, "identity", "user:bob"))
    assert (await court.decide(acting)).decision.reason is Reason.LOCKED


@pytest.mark.proves("I2", "I7")
async def test_one_row_for_each_answer(court: Court, town: Store) -> None:
    questions = [replace(ASKED, request=Request(TRAIN, f"p{number % 3}")) for number in range(300)]
    rulings = await asyncio.gather(*map(court.decide, questions))
    recorded = answered(town)
    assert len(recorded) == len(rulings) == 300
    for question, ruling in zip(questions, rulings, strict=True):
        row = recorded[ruling.id]
        assert (row["allowed"], row["details"]["scope"]) == (ruling.decision.allowed, question.request.scope)
    with town.read() as tx:
        report = verify(tx.conn)
    assert report.sound, report.findings


async def test_waiting_questions_share_a_transaction(court: Court, town: Store) -> None:
    await asyncio.gather(*(court.decide(ASKED) for _ in range(100)))
    # Rows of one transaction show one time of the store.
    assert len({row["at"] for row in rows(town)}) < 60


@pytest.mark.proves("R98")
async def test_secret_arguments_are_not_recorded(town: Store) -> None:
    command = read("configure datasource db password=hunter2", town.catalog)
    command = replace(command, entry=replace(command.entry, secret=frozenset({EVERY_PAIR})))
    question = replace(ASKED, request=request_for(command, "p1", ALICE, SESSION), command=command)
    hasher = SecretHasher(bytes(range(32)))
    for one, shown in ((None, "***"), (hasher, hasher.seal("hunter2"))):
        court = Court(town, one)
        ruling = await court.decide(question)
        with town.write(ACTOR) as tx:
            within = court.decide_in(tx, question)
        court.close()
        for number in (ruling.id, within.id):
            assert rows(town, id=number)[0]["command"] == f"configure datasource db password={shown}"
    with town.read() as tx:
        assert not [body for body in tx.conn.scalars(select(tables.audit.c.body)) if b"hunter2" in bytes(body)]


@pytest.mark.proves("R81")
def test_in_a_transaction_that_fails_the_caller_records_it(court: Court, town: Store) -> None:
    with pytest.raises(ZeroDivisionError), town.write(ACTOR) as tx:  # noqa: PT012
        world.revoke(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        ruling = court.decide_in(tx, ASKED)
        assert not ruling.decision.allowed, "it sees what the transaction did"
        raise ZeroDivisionError
    assert rows(town) == []
    town.record([court.row(ruling, ASKED)])
    (row,) = rows(town)
    assert (row["id"], row["allowed"]) == (ruling.id, False)


# --- freshness


@pytest.mark.proves("R48", "R81")
async def test_an_answer_that_came_late_is_decided_again(court: Court, town: Store) -> None:
    """The process pauses between the commit and the answer, and in the pause the right is revoked."""
    asked = asyncio.create_task(court.decide(ASKED))
    for _ in range(3):  # asked, gathered, handed to the thread
        await asyncio.sleep(0)
    deadline = time.monotonic() + 5
    while not rows(town):  # decided and on record, but this loop has not been told
        assert time.monotonic() < deadline
    do(town, lambda tx: world.revoke(tx, "PROJECT_EXECUTOR", "p1", ALICE))
    time.sleep(0.3)  # noqa: ASYNC251 - the pause
    ruling = await asked
    assert not ruling.decision.allowed
    first, second = rows(town)
    assert (first["allowed"], second["allowed"]) == (True, False)
    assert (second["id"], second["details"]["again"]) == (ruling.id, first["id"])


def test_an_answer_grows_old() -> None:
    ruling = Ruling("", None, 1, ISSUED, clock() - 0.24)  # type: ignore[arg-type]
    assert ruling.fresh
    time.sleep(0.02)
    assert not ruling.fresh


# --- failures


@pytest.mark.proves("R79", "R107", "I8", "I10")
async def test_a_store_that_stands_still_allows_nothing(court: Court, town: Store) -> None:
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        conn = town.database.engine.connect()
        conn.exec_driver_sql("BEGIN IMMEDIATE" if town.database.embedded else "BEGIN")
        if not town.database.embedded:
            conn.exec_driver_sql("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        holding.set()
        done.wait(30)
        town.database.rollback(conn)
        conn.close()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    started = time.monotonic()
    answers = await asyncio.gather(*(court.decide(ASKED) for _ in range(20)), return_exceptions=True)
    assert {type(one) for one in answers} == {Unavailable}
    assert time.monotonic() - started < town.database.deadline_seconds + 1.5
    done.set()
    thread.join()
    assert (await _recovered(court)).decision.allowed
    with town.read() as tx:
        assert verify(tx.conn).sound


async def _recovered(court: Court, within: float = 10.0) -> Ruling:
    deadline = time.monotonic() + within
    while True:
        try:
            return await court.decide(ASKED)
        except Unavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


@pytest.mark.needs("postgres")
@pytest.mark.proves("R105", "I8", "I10")
@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_killed_connections_are_replaced(court: Court, town: Store) -> None:
    for _ in range(3):
        await court.decide(ASKED)
        with town.read() as tx:
            tx.conn.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                 " WHERE datname = current_database() AND pid <> pg_backend_pid()"))  # fmt: skip
        assert (await _recovered(court)).decision.allowed
    with town.read() as tx:
        assert verify(tx.conn).sound


@pytest.mark.proves("R93", "R59")
async def test_a_bad_row_does_not_take_the_others_with_it(court: Court, town: Store) -> None:
    refuse(town, "alice-is-not-recorded", "NEW.identity = 'user:alice'")
    bob = Question(Actor(BOB, Road.PANEL), Request(READ, "p1"))
    answers = await asyncio.gather(*(court.decide(one) for one in [bob, ASKED] * 10), return_exceptions=True)
    assert [type(one) for one in answers] == [Ruling, Unavailable] * 10
    recorded = {row["id"]: row["identity"] for row in rows(town)}
    assert set(recorded.values()) == {"user:bob"}
    assert {one.id for one in answers if isinstance(one, Ruling)} <= set(recorded)


@pytest.mark.proves("R93", "R108", "I2")
async def test_without_its_row_nothing_is_allowed(court: Court, town: Store) -> None:
    refuse(town, "nothing-is-recorded", "1 = 1")
    with pytest.raises(Unavailable):
        await court.decide(ASKED)
    assert rows(town) == []


def refuse(store: Store, name: str, when: str) -> None:  # noqa: F811
    """Let the database refuse audit rows."""
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
async def test_rows_of_their_own_do_not_collide(court: Court, town: Store) -> None:
    """Denials, logins and reads are recorded while decisions are: each row finds its place in the chain."""

    def record() -> None:
        for _ in range(25):
            with town.read() as tx:
                now = tx.now
            town.record([make_row(ACTOR, "login", now)])

    threads = [asyncio.to_thread(record) for _ in range(4)]
    await asyncio.gather(*threads, *(court.decide(ASKED) for _ in range(50)))
    with town.read() as tx:
        report = verify(tx.conn)
        events = list(tx.conn.scalars(select(tables.audit.c.event)))
    assert report.sound, report.findings
    assert events.count("login") == 100


@pytest.mark.proves("R109")
async def test_another_catalog_in_force_stops_decisions(court: Court, town: Store) -> None:
    do(
        town,
        lambda tx: (
            tx.conn.execute(update(tables.revision).values(catalog_hash="0" * 64)),
            tx.change("catalog", {}, ["*"]),
        ),
    )
    with pytest.raises(Unavailable, match="another catalog"):
        await court.decide(ASKED)
    with town.read() as tx, pytest.raises(Unavailable, match="another catalog"):
        court.judge(tx, ASKED)
    with town.write(ACTOR) as tx:
        with pytest.raises(Unavailable, match="another catalog"):
            court.decide_in(tx, ASKED)
        with pytest.raises(Unavailable, match="another catalog"):
            sessions.open(tx, "alice", "alice", "", "p1", "0" * 64)


@pytest.mark.proves("T-40")
async def test_a_database_that_was_set_back_stops_decisions(court: Court, town: Store) -> None:
    await court.decide(ASKED)
    with town.database.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE revision SET value = value - 1")
    with pytest.raises(Unavailable, match="set back"):
        await court.decide(ASKED)


@pytest.mark.proves("R127", "T-36", "I8")
async def test_the_queue_is_bounded(court: Court, town: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(court_module, "MAX_WAITING", 10)
    answers = await asyncio.gather(*(court.decide(ASKED) for _ in range(200)), return_exceptions=True)
    kinds = [type(one) for one in answers]
    assert set(kinds) == {Ruling, Unavailable}
    assert len(answered(town)) == kinds.count(Ruling)


async def test_nobody_waits_for_a_court_that_closed(court: Court) -> None:
    pending = [asyncio.create_task(court.decide(ASKED)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.to_thread(court.close)
    assert all(ruling.decision.allowed for ruling in await asyncio.gather(*pending)), (
        "what was asked before is answered"
    )
    with pytest.raises(Unavailable, match="ending"):
        await court.decide(ASKED)
    court.close()


async def test_who_hung_up_is_not_decided(court: Court, town: Store) -> None:
    tasks = [asyncio.create_task(court.decide(ASKED)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await court.decide(ASKED)).decision.allowed
    with town.read() as tx:
        assert verify(tx.conn).sound
