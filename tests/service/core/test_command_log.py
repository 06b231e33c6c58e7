"""Commands at the core: one outcome each, and leases that survive the end of a process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization.decisions.decision_service import DecisionRequest
from aizen_hub.jobs import leases, reauthorizer
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.decision import Decision
from aizen_hub.service.background import tasks as tasks_module
from aizen_hub.service.core import gateway
from aizen_hub.service.core.command_log import CommandLog
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction
from tests.fixtures.timing import until
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, RawCore, line, raw_core
from tests.service.conftest import Driver
from tests.service.core.test_core_start import EVE, NOT_KNOWN, expire, open_commands_and_jobs, served
from tests.service.core.test_gateway import audit


class BusyCore:
    """A core whose commands run until the test ends them."""

    def __init__(self) -> None:
        self.end, self.stopped = asyncio.Event(), dict[str, asyncio.Event]()
        self.forgets = self.refuses = False

    async def __call__(self, core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            return
        method, path = request.split()
        decision_id = json.loads(core.bodies[-1])["id"] if method == "POST" else path.rpartition("/")[2]
        stopped = self.stopped.setdefault(decision_id, asyncio.Event())
        if self.forgets:
            writer.write(NOT_KNOWN)
        elif method == "DELETE":
            stopped.set()
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            waiting = [asyncio.create_task(event.wait()) for event in (self.end, stopped)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            writer.write(STOPPED if stopped.is_set() else DONE)
        await writer.drain()


@pytest.fixture
async def busy_core() -> BusyCore:
    return BusyCore()


@pytest.fixture
async def core(busy_core: BusyCore) -> AsyncIterator[RawCore]:
    async with raw_core(busy_core) as core:
        yield core


def outcomes(service: Driver) -> dict[str, list[str]]:
    """Return the recorded outcomes of every intent, by command."""
    states: dict[str, list[str]] = {row["details"]["decision"]: [] for row in audit(service, "intent")}
    names = {row["details"]["decision"]: row["command"] for row in audit(service, "intent")}
    for row in audit(service, "outcome"):
        states[row["details"]["decision"]].append(row["details"]["state"])
    return {names[decision_id]: outcomes for decision_id, outcomes in states.items()}


async def start_commands(service: Driver, *texts: str) -> list[asyncio.Task[Any]]:
    eve = await service.open("eve")
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(service.command(eve, text)) for text in texts]

    def are_started() -> bool:
        for number, task in enumerate(tasks):
            if task.done() and task.result().status == 503:
                # A machine that has too much to do could not decide on the current state (R48).
                tasks[number] = asyncio.create_task(service.command(eve, texts[number]))
        open_commands, _ = open_commands_and_jobs(service)
        return len(open_commands) == len(texts) == len(service.context.core.runner._follow_tasks)

    await until(are_started)
    return tasks


STOPPED = line("end", state="stopped")
BOTH = ("start training churn", "list trainings")


@pytest.mark.proves("R93", "T-45")
async def test_a_restart_leaves_no_intent_without_an_outcome(
    tmp_path: Path, core: RawCore, busy_core: BusyCore
) -> None:
    async with served(tmp_path, core) as service:
        tasks = await start_commands(service, *BOTH)
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, core, new=False) as service:
        assert outcomes(service) == {text: [] for text in BOTH}
        await until(lambda: len(service.context.core.runner.running) == 2)
        decision_id = audit(service, "intent")[0]["details"]["decision"]
        eve = await service.open("eve")
        state = await service.call("GET", f"/api/v1/commands/{decision_id}", auth=eve.auth)
        assert state.json["state"] == "running"
        busy_core.end.set()
        await until(lambda: open_commands_and_jobs(service) == ([], []))
        assert outcomes(service) == {text: ["done"] for text in BOTH}


@pytest.mark.proves("R93", "T-45")
@pytest.mark.parametrize("behaviour", ["forgets", "refuses"])
async def test_a_command_without_an_answer_after_a_restart_is_unknown(
    tmp_path: Path, core: RawCore, busy_core: BusyCore, behaviour: str
) -> None:
    async with served(tmp_path, core) as service:
        tasks = await start_commands(service, *BOTH)
    await asyncio.gather(*tasks, return_exceptions=True)
    setattr(busy_core, behaviour, True)
    async with served(tmp_path, core, new=False) as service:
        await until(lambda: all(outcomes(service).values()), 20)
        assert outcomes(service) == {text: ["unknown"] for text in BOTH}
        if behaviour == "forgets":
            assert open_commands_and_jobs(service) == ([], [])
            return
        jobs = open_commands_and_jobs(service)[1]
        assert open_commands_and_jobs(service) == (jobs, jobs), "the job may still run, so it counts and stays open"
        await until(lambda: not service.context.core.runner.running)
        request_count = len(core.requests)
        expire(service.context)
        await until(lambda: len(core.requests) >= request_count + 4, 20)
        await until(lambda: not service.context.core.runner.running)
        assert outcomes(service)["start training churn"] == ["unknown"], "recorded once"
        busy_core.refuses = False
        busy_core.end.set()
        expire(service.context)
        await until(lambda: open_commands_and_jobs(service) == ([], []), 20)
        assert outcomes(service)["start training churn"] == ["done", "unknown"], "the newest first"


async def test_without_a_configured_core_commands_are_unknown(tmp_path: Path, core: RawCore) -> None:
    async with served(tmp_path, core) as service:
        tasks = await start_commands(service, *BOTH)
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, None, new=False) as service:
        await until(lambda: all(outcomes(service).values()))
        assert outcomes(service) == {text: ["unknown"] for text in BOTH}
        assert open_commands_and_jobs(service)[0] == open_commands_and_jobs(service)[1]
        expire(service.context)
        await service.context.core.resume_commands()
        assert outcomes(service) == {text: ["unknown"] for text in BOTH}


async def test_an_end_is_recorded_before_the_service_stops(
    tmp_path: Path, core: RawCore, busy_core: BusyCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = CommandLog.finish
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(self: CommandLog, *args: object) -> None:
        loop.call_soon_threadsafe(started.set)
        time.sleep(0.3)
        finish(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(CommandLog, "finish", slow)
    async with served(tmp_path, core) as service:
        tasks = await start_commands(service, "list trainings")
        busy_core.end.set()
        await started.wait()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, None, new=False) as service:
        assert outcomes(service) == {"list trainings": ["done"]}


@asynccontextmanager
async def second_replica(service: Driver) -> AsyncIterator[Driver]:
    """Start a second replica on the same database."""
    context = build_context(service.context.settings, instance="second", environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


@pytest.mark.proves("T-08", "R48", "R78")
async def test_another_replica_claims_the_commands_of_a_dead_one(
    tmp_path: Path, core: RawCore, busy_core: BusyCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 3.0)
    monkeypatch.setattr(leases, "START_SECONDS", 3.0)
    monkeypatch.setattr(gateway, "ACCEPT_SECONDS", 1.0)  # a start that was decided anew needs so much of its lease
    monkeypatch.setattr(tasks_module, "POLL_SECONDS", 0.2)
    async with served(tmp_path, core) as service, second_replica(service) as other:
        tasks = await start_commands(service, *BOTH)
        await asyncio.sleep(4)
        assert other.context.core.runner.running == (), "a command with an owner is not claimed"
        # The replica dies suddenly: it releases no leases.
        await service.server._scheduler.stop()
        monkeypatch.setattr(CommandLog, "release", lambda self, orders: None)
        await service.context.core.runner.close()
        await until(lambda: len(other.context.core.runner.running) == 2)
        with other.context.store.write(SERVICE_ACTOR) as tx:
            locks.lock_target(tx, LockTarget.IDENTITY, str(EVE), reason="test")
        await until(lambda: open_commands_and_jobs(other) == ([], []))
        assert outcomes(other) == {text: ["stopped"] for text in BOTH}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.proves("T-08")
async def test_a_command_that_can_no_longer_be_decided_is_stopped(
    tmp_path: Path, core: RawCore, busy_core: BusyCore
) -> None:
    async with served(tmp_path, core) as service:
        tasks = await start_commands(service, "start training churn")
        with service.context.store.write(SERVICE_ACTOR) as tx:
            tx.conn.execute(update(tables.open_commands).values(command="paint training churn"))
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, core, new=False) as service:
        await until(lambda: open_commands_and_jobs(service) == ([], []))
        assert outcomes(service) == {"start training churn": ["stopped"]}


@pytest.mark.proves("R79", "R125", "T-08")
async def test_one_read_reauthorizes_all_running_commands_independently(
    tmp_path: Path, core: RawCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reauthorizer, "_INTERVAL_SECONDS", 0.05)
    async with served(tmp_path, core) as service:
        evaluate, read = service.context.decisions.evaluate_unrecorded, service.context.pools.reads.run
        evaluated, reads = list[str](), list[object]()
        failing = BOTH[1]

        def failing_evaluate(tx: ReadTransaction, request: DecisionRequest) -> Decision:
            assert request.command is not None
            evaluated.append(request.command.canonical)
            if request.command.canonical == failing:
                raise ValueError("a bug")
            return evaluate(tx, request)

        def counted(operation: Any) -> Any:
            reads.append(operation)
            return read(operation)

        tasks = await start_commands(service, *BOTH)
        await service.server._scheduler.stop()  # its tasks read too
        monkeypatch.setattr(service.context.decisions, "evaluate_unrecorded", failing_evaluate)
        monkeypatch.setattr(service.context.pools.reads, "run", counted)
        await until(lambda: evaluated.count(failing) >= 4)
        assert abs(evaluated.count(BOTH[0]) - evaluated.count(failing)) <= 1
        assert len(reads) <= evaluated.count(failing) + 1, "one read for both commands"
        monkeypatch.setattr(reauthorizer, "_MAX_UNDECIDED_SECONDS", 0.1)
        await until(lambda: outcomes(service)[failing] == ["stopped"])
        assert outcomes(service)[BOTH[0]] == []
        await until(lambda: len(service.context.core.command_log.in_flight) == 1)
        with service.context.store.write(SERVICE_ACTOR) as tx:
            locks.lock_target(tx, LockTarget.IDENTITY, str(EVE), reason="test")
        await until(lambda: outcomes(service) == {text: ["stopped"] for text in BOTH})
        await until(lambda: service.context.core.command_log.in_flight == {})
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_command_is_claimed_once(tmp_path: Path, core: RawCore) -> None:
    async with served(tmp_path, core) as service, second_replica(service) as other:
        tasks = await start_commands(service, *BOTH)
        store, command_log = service.context.store, service.context.core.command_log
        with store.read() as tx:
            assert not leases.any_unowned(tx)
            assert all(leases.is_owner(tx, decision_id, command_log.owner, 5) for decision_id in command_log.in_flight)
        expire(service.context)
        with store.read() as tx:
            assert leases.any_unowned(tx)
        with store.write(SERVICE_ACTOR) as tx:
            assert len(leases.claim(tx, "first", 1)) == 1
        with other.context.store.write(SERVICE_ACTOR) as tx:
            assert len(leases.claim(tx, "second", 10)) == 1
        with store.write(SERVICE_ACTOR) as tx:
            assert leases.claim(tx, "third", 10) == []
            leases.renew(tx, command_log.owner, list(command_log.in_flight))
            assert not any(
                leases.is_owner(tx, decision_id, command_log.owner, 0) for decision_id in command_log.in_flight
            ), "they have another owner"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
