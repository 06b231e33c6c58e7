"""The last decision before a command is sent to the core."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, server_sessions
from aizen_hub.accounts.users import registration
from aizen_hub.jobs import leases
from aizen_hub.jobs.core_client import ACCEPT_SECONDS
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_stream import CoreStream
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.core.command_log import CommandLog, recorded_state
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.keys import Purpose
from tests.fixtures.timing import until
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, RawCore, raw_core
from tests.service.conftest import INSTANCE, PASSWORD, Driver, Response, Session, settings_for
from tests.service.core.test_gateway import audit

EVE = Identity.user("eve")
NOT_KNOWN = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
OUTDATED_SECONDS = 0.3
"""Longer than a decision may be used, which is a quarter of a second."""


class Gate:
    """Blocks threads until the test opens it."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()

    def wait(self) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self.open.wait(20), "the gate was not opened"


async def start_to_gate(service: Driver, eve: Session, gate: Gate) -> asyncio.Task[Response]:
    """Start a command, and return it once it waits at the gate."""
    command = asyncio.create_task(service.command(eve, "start training churn"))
    reached = asyncio.create_task(gate.reached.wait())
    await asyncio.wait({command, reached}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    assert not command.done(), (await command).body
    assert gate.reached.is_set()
    return command


def populate(context: ServiceContext) -> None:
    with context.store.write(SERVICE_ACTOR) as tx:
        registration.create_user(tx, "ada", password=PASSWORD)
        registration.create_user(tx, "eve", password=PASSWORD)
        for name in ("p1", "p2"):
            lifecycle.create_project(tx, name, owner=Identity.user("ada"))
        assignments.unauthorized_write_assignment(tx, "PROJECT_EXECUTOR", "p1", EVE, reason="test")


@asynccontextmanager
async def served(folder: Path, core: RawCore | None, *, new: bool = True) -> AsyncIterator[Driver]:
    """Run a service with a small store, new or existing."""
    settings = settings_for(folder, core=None if core is None else {"url": core.url})
    context = build_context(settings, instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    if new:
        populate(context)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


async def accepts(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
    was_sent = "POST /commands" in core.requests
    writer.write(HEAD + ACCEPTED + DONE if was_sent else NOT_KNOWN)
    await writer.drain()


@pytest.fixture
async def core() -> AsyncIterator[RawCore]:
    async with raw_core(accepts) as core:
        yield core


@pytest.fixture
async def service(tmp_path: Path, core: RawCore) -> AsyncIterator[Driver]:
    async with served(tmp_path, core) as service:
        yield service


@pytest.fixture
async def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Delay a command while it connects, or after its intent was recorded."""
    gate = Gate()
    if request.param == "connecting":
        connect = CoreStream.connect

        async def slowly(self: CoreStream, *request: Any, **more: Any) -> None:
            await connect(self, *request, **more)
            await asyncio.to_thread(gate.wait)

        monkeypatch.setattr(CoreStream, "connect", slowly)
    else:
        start = CommandLog.start

        def slow(self: CommandLog, order: CoreCommand) -> None:
            start(self, order)
            gate.wait()

        monkeypatch.setattr(CommandLog, "start", slow)
    return gate


def _withdraw(tx: WriteTransaction, eve: Session, context: ServiceContext) -> object:
    return context.keys.withdraw(tx, [context.keys.ring(tx).signer(Purpose.ROLE)[0].kid], "leaked")


def _end_older_tokens(tx: WriteTransaction, *_: object) -> None:
    tx.conn.execute(update(tables.users).where(tables.users.c.name == "eve").values(not_before=tx.now))
    tx.record_change("test", {}, ["user:eve"])


def _change_project(tx: WriteTransaction, eve: Session, _: ServiceContext) -> object:
    assignments.unauthorized_write_assignment(tx, "PROJECT_EXECUTOR", "p2", EVE, reason="test")
    return server_sessions.set_session_project(tx, eve.id, "p2")


ENDS: dict[str, tuple[Callable[[WriteTransaction, Session, ServiceContext], object], int]] = {
    "the session ended": (lambda tx, eve, _: server_sessions.end_session(tx, eve.id, "culled"), 401),
    "the key was withdrawn": (_withdraw, 401),
    "older tokens were ended": (_end_older_tokens, 401),
    "the session changed its project": (_change_project, 401),
    "the session was locked": (lambda tx, eve, _: locks.lock_target(tx, LockTarget.SESSION, eve.id, reason="t"), 401),
    "the user was locked": (lambda tx, *_: locks.lock_target(tx, LockTarget.IDENTITY, str(EVE), reason="test"), 401),
    "the role was revoked": (lambda tx, *_: assignments.revoke_roles(tx, ["PROJECT_EXECUTOR"], "p1", EVE), 403),
    "the project was deleted": (lambda tx, *_: lifecycle.delete_project(tx, "p1"), 401),
}


@pytest.mark.proves("R47", "R48", "R81", "R93")
@pytest.mark.parametrize("gate", ["connecting", "recording"], indirect=True)
@pytest.mark.parametrize("cause", ENDS)
async def test_a_command_denied_before_the_first_byte_is_not_sent(
    service: Driver, core: RawCore, gate: Gate, cause: str, request: pytest.FixtureRequest
) -> None:
    end, status = ENDS[cause]
    eve = await service.open("eve")
    command = await start_to_gate(service, eve, gate)
    with service.context.store.write(SERVICE_ACTOR) as tx:
        end(tx, eve, service.context)
    await asyncio.sleep(OUTDATED_SECONDS)
    gate.open.set()
    response = await command
    assert core.requests == []
    assert response.status == status, response.body
    assert response.json["decision"]["allowed"] is False
    denial, first = audit(service, "decision")[:2]
    assert (first["allowed"], denial["allowed"]) == (True, False)
    assert (denial["id"], denial["details"]["supersedes"]) == (response.json["decision"]["id"], first["id"])
    intents = [row["details"]["decision"] for row in audit(service, "intent")]
    assert intents == ([first["id"]] if "recording" in request.node.callspec.id else [])
    assert [(row["details"]["decision"], row["details"]["state"]) for row in audit(service, "outcome")] == [
        (decision_id, "failed") for decision_id in intents
    ]
    assert open_commands_and_jobs(service) == ([], [])
    with service.context.store.read() as tx:
        state = recorded_state(tx, first["id"], EVE)
    assert state is not None
    assert state["state"] == "failed"


def open_commands_and_jobs(service: Driver) -> tuple[list[str], list[str]]:
    """Return the ids of the open commands, and of the jobs that count."""
    o, j = tables.open_commands.c, tables.jobs.c
    with service.context.store.read() as tx:
        return (
            list(tx.conn.scalars(select(o.decision_id))),
            list(tx.conn.scalars(select(j.decision_id).where(j.ended.is_(None)))),
        )


@pytest.mark.parametrize("gate", ["connecting", "recording"], indirect=True)
async def test_a_command_that_is_still_allowed_is_sent_after_a_delay(
    service: Driver, core: RawCore, gate: Gate
) -> None:
    eve = await service.open("eve")
    command = await start_to_gate(service, eve, gate)
    await asyncio.sleep(OUTDATED_SECONDS)
    gate.open.set()
    assert (await command).lines[-1]["state"] == "done"
    assert core.requests == ["POST /commands"]
    decisions = audit(service, "decision")
    assert all(row["allowed"] for row in decisions)
    # On a busy machine several precede it: one that is outdated before it is recorded is made again.
    assert decisions[0]["id"] == audit(service, "intent")[0]["details"]["decision"], "a repeated allow is recorded"


@asynccontextmanager
async def another(service: Driver) -> AsyncIterator[ServiceContext]:
    """Build a second replica on the same database, without scheduled tasks."""
    context = build_context(service.context.settings, instance="another", environ={})
    try:
        yield context
    finally:
        await context.core.runner.close()
        context.pools.close()
        await context.main_hub.api.close()
        context.decisions.close()
        context.store.close()


def expire(context: ServiceContext) -> None:
    o = tables.open_commands
    with context.store.write(SERVICE_ACTOR) as tx:
        tx.conn.execute(update(o).values(lease_until=tx.now))


@pytest.mark.proves("R103", "R105")
async def test_a_command_in_transit_is_not_claimed_by_another_replica(tmp_path: Path) -> None:
    go, is_known = asyncio.Event(), [False]

    async def slow(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("POST"):
            await go.wait()
            is_known[0] = True
            writer.write(HEAD + ACCEPTED + DONE)
        else:
            writer.write(HEAD + ACCEPTED + DONE if is_known[0] else NOT_KNOWN)
        await writer.drain()

    async with raw_core(slow) as core, served(tmp_path, core) as service, another(service) as context:
        eve = await service.open("eve")
        command = asyncio.create_task(service.command(eve, "start training churn"))
        await until(lambda: core.requests)
        for _ in range(3):
            await context.core.resume_commands()
            await asyncio.sleep(0.1)
        assert context.core.runner.running == ()
        decision_id = audit(service, "intent")[0]["details"]["decision"]
        assert open_commands_and_jobs(service) == ([decision_id], [decision_id])
        go.set()
        assert (await command).lines[-1]["state"] == "done"
        assert core.requests == ["POST /commands"]
        assert [row["details"]["state"] for row in audit(service, "outcome")] == ["done"]
        assert open_commands_and_jobs(service) == ([], [])


@pytest.mark.proves("R81", "R103")
@pytest.mark.parametrize("gate", ["recording"], indirect=True)
async def test_a_replica_that_lost_its_lease_sends_nothing(service: Driver, core: RawCore, gate: Gate) -> None:
    """Otherwise a job would run without being counted."""
    eve = await service.open("eve")
    async with another(service) as context:
        command = await start_to_gate(service, eve, gate)
        expire(context)
        await context.core.resume_commands()
        assert len(context.core.runner.running) == 1
        await asyncio.sleep(OUTDATED_SECONDS)
        gate.open.set()
        response = await command
    assert (response.status, "took too long" in response.json["detail"]) == (503, True)
    assert "POST /commands" not in core.requests
    assert [row["details"]["state"] for row in audit(service, "outcome")] in (["unknown"], ["failed"])
    assert open_commands_and_jobs(service) == ([], [])


@pytest.mark.proves("R105")
async def test_an_intent_with_an_indeterminate_commit_is_looked_up(
    service: Driver, core: RawCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, committed = CommandLog.start, [True]

    def unanswered(self: CommandLog, order: CoreCommand) -> None:
        if committed[0]:
            start(self, order)
        else:
            self.in_flight[order.id].intent_recorded = True
        raise Unavailable("the answer of the database was lost", extensions={"indeterminate": True})

    monkeypatch.setattr(CommandLog, "start", unanswered)
    eve = await service.open("eve")
    for is_committed in (True, False):
        committed[0] = is_committed
        assert (await service.command(eve, "start training churn")).status == 503
        assert open_commands_and_jobs(service) == ([], []), "a job that was not sent does not count"
        assert [row["details"]["state"] for row in audit(service, "outcome")] == ["failed"]
    assert core.requests == []


def test_a_lease_outlasts_the_start_of_a_command() -> None:
    assert leases.START_SECONDS > leases.LEASE_SECONDS > ACCEPT_SECONDS
