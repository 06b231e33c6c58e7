"""Whatever the core was given gets one outcome, and is watched over, whoever ends in between."""

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
from aizen_hub.authorization.decisions.decision_service import Question
from aizen_hub.jobs import leases as watch
from aizen_hub.jobs import reauthorizer as rounds
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.decision import Decision
from aizen_hub.service.core import gateway as core_road
from aizen_hub.service.core.command_log import Ledger
from aizen_hub.service.factory import OWN, build
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, RawCore, line, raw_core
from tests.service.conftest import Driver
from tests.service.core.test_core_start import EVE, NOT_KNOWN, expire, left, served
from tests.service.core.test_gateway import audit, until


class Holding:
    """A core that goes on with everything until it is told to end."""

    def __init__(self) -> None:
        self.end, self.stopped = asyncio.Event(), dict[str, asyncio.Event]()
        self.forgets = self.refuses = False

    async def __call__(self, core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            return
        method, path = request.split()
        number = json.loads(core.bodies[-1])["id"] if method == "POST" else path.rpartition("/")[2]
        stopped = self.stopped.setdefault(number, asyncio.Event())
        if self.forgets:
            writer.write(NOT_KNOWN)
        elif method == "DELETE":
            stopped.set()
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            waiting = [asyncio.create_task(one.wait()) for one in (self.end, stopped)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            writer.write(STOPPED if stopped.is_set() else DONE)
        await writer.drain()


@pytest.fixture
async def holding() -> Holding:
    return Holding()


@pytest.fixture
async def core(holding: Holding) -> AsyncIterator[RawCore]:
    async with raw_core(holding) as found:
        yield found


def outcomes(service: Driver) -> dict[str, list[str]]:
    """Return the states of the outcomes by command, for every intent."""
    found: dict[str, list[str]] = {row["details"]["decision"]: [] for row in audit(service, "intent")}
    names = {row["details"]["decision"]: row["command"] for row in audit(service, "intent")}
    for row in audit(service, "outcome"):
        found[row["details"]["decision"]].append(row["details"]["state"])
    return {names[number]: states for number, states in found.items()}


async def give(service: Driver, *texts: str) -> list[asyncio.Task[object]]:
    eve = await service.open("eve")
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(service.command(eve, text)) for text in texts]
    await until(lambda: len(left(service)[0]) == len(texts) == len(service.house.runner._follows))
    return tasks


STOPPED = line("end", state="stopped")
BOTH = ("start training churn", "list trainings")


@pytest.mark.proves("R93", "T-45")
async def test_a_restart_leaves_no_intent_without_an_outcome(tmp_path: Path, core: RawCore, holding: Holding) -> None:
    async with served(tmp_path, core) as service:
        tasks = await give(service, *BOTH)
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, core, new=False) as service:
        assert outcomes(service) == {text: [] for text in BOTH}
        await until(lambda: len(service.house.runner.running) == 2)
        number = audit(service, "intent")[0]["details"]["decision"]
        eve = await service.open("eve")
        state = await service.call("GET", f"/api/v1/commands/{number}", auth=eve.auth)
        assert state.json["state"] == "running"
        holding.end.set()
        await until(lambda: left(service) == ([], []))
        assert outcomes(service) == {text: ["done"] for text in BOTH}


@pytest.mark.proves("R93", "T-45")
@pytest.mark.parametrize("how", ["forgets", "refuses"])
async def test_what_the_core_does_not_tell_after_a_restart_is_unknown(
    tmp_path: Path, core: RawCore, holding: Holding, how: str
) -> None:
    async with served(tmp_path, core) as service:
        tasks = await give(service, *BOTH)
    await asyncio.gather(*tasks, return_exceptions=True)
    setattr(holding, how, True)
    async with served(tmp_path, core, new=False) as service:
        await until(lambda: all(outcomes(service).values()), 20)
        assert outcomes(service) == {text: ["unknown"] for text in BOTH}
        if how == "forgets":
            assert left(service) == ([], [])
            return
        number = left(service)[1]
        assert left(service) == (number, number), "the job may still run: it counts, and is asked after"
        await until(lambda: not service.house.runner.running)
        asked = len(core.requests)
        expire(service.house)
        await until(lambda: len(core.requests) >= asked + 4, 20)
        await until(lambda: not service.house.runner.running)
        assert outcomes(service)["start training churn"] == ["unknown"], "said once"
        holding.refuses = False
        holding.end.set()
        expire(service.house)
        await until(lambda: left(service) == ([], []), 20)
        assert outcomes(service)["start training churn"] == ["done", "unknown"], "the newest first"


async def test_without_a_core_any_more_it_is_said(tmp_path: Path, core: RawCore) -> None:
    async with served(tmp_path, core) as service:
        tasks = await give(service, *BOTH)
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, None, new=False) as service:
        await until(lambda: all(outcomes(service).values()))
        assert outcomes(service) == {text: ["unknown"] for text in BOTH}
        assert left(service)[0] == left(service)[1]
        expire(service.house)
        await core_road.resume(service.house)
        assert outcomes(service) == {text: ["unknown"] for text in BOTH}


async def test_an_end_that_came_is_recorded_before_the_service_ends(
    tmp_path: Path, core: RawCore, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Ledger.finish
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(self: Ledger, *given: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        time.sleep(0.3)
        finish(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "finish", slow)
    async with served(tmp_path, core) as service:
        tasks = await give(service, "list trainings")
        holding.end.set()
        await begun.wait()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, None, new=False) as service:
        assert outcomes(service) == {"list trainings": ["done"]}


@asynccontextmanager
async def beside(service: Driver) -> AsyncIterator[Driver]:
    """Start a second replica on the same database."""
    house = build(service.house.settings, instance="beside", environ={})
    server = Server(house, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


@pytest.mark.proves("T-08", "R48", "R78")
async def test_who_dies_is_followed_by_another_who_watches(
    tmp_path: Path, core: RawCore, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(watch, "START_SECONDS", 1.0)
    monkeypatch.setattr(core_road, "LOOK_SECONDS", 0.2)
    async with served(tmp_path, core) as service, beside(service) as other:
        tasks = await give(service, *BOTH)
        await asyncio.sleep(2)
        assert other.house.runner.running == (), "as long as somebody watches nobody else does"
        # It is gone from one moment to the next: it says nothing, and keeps nothing.
        await service.server._background.stop()
        monkeypatch.setattr(Ledger, "release", lambda self, orders: None)
        await service.house.runner.close()
        await until(lambda: len(other.house.runner.running) == 2)
        with other.house.store.write(OWN) as tx:
            locks.lock(tx, LockTarget.IDENTITY, str(EVE), reason="test")
        await until(lambda: left(other) == ([], []))
        assert outcomes(other) == {text: ["stopped"] for text in BOTH}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.proves("T-08")
async def test_what_can_no_longer_be_decided_is_stopped(tmp_path: Path, core: RawCore, holding: Holding) -> None:
    async with served(tmp_path, core) as service:
        tasks = await give(service, "start training churn")
        with service.house.store.write(OWN) as tx:
            tx.conn.execute(update(tables.open_commands).values(command="paint training churn"))
    await asyncio.gather(*tasks, return_exceptions=True)
    async with served(tmp_path, core, new=False) as service:
        await until(lambda: left(service) == ([], []))
        assert outcomes(service) == {"start training churn": ["stopped"]}


@pytest.mark.proves("R79", "R125", "T-08")
async def test_one_read_decides_all_that_run_and_each_by_itself(
    tmp_path: Path, core: RawCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_EVERY_SECONDS", 0.05)
    async with served(tmp_path, core) as service:
        judge, read = service.house.court.judge, service.house.pools.reads.run
        asked, reads = list[str](), list[object]()
        odd = BOTH[1]

        def oddly(tx: Read, question: Question) -> Decision:
            assert question.command is not None
            asked.append(question.command.canonical)
            if question.command.canonical == odd:
                raise ValueError("a bug")
            return judge(tx, question)

        def counted(work: Any) -> Any:
            reads.append(work)
            return read(work)

        tasks = await give(service, *BOTH)
        monkeypatch.setattr(service.house.court, "judge", oddly)
        monkeypatch.setattr(service.house.pools.reads, "run", counted)
        await until(lambda: asked.count(odd) >= 4)
        assert abs(asked.count(BOTH[0]) - asked.count(odd)) <= 1
        assert len(reads) <= asked.count(odd) + 1, "one for both"
        monkeypatch.setattr(rounds, "_UNDECIDED_SECONDS", 0.1)
        await until(lambda: outcomes(service)[odd] == ["stopped"])
        assert outcomes(service)[BOTH[0]] == []
        await until(lambda: len(service.house.ledger.open) == 1)
        with service.house.store.write(OWN) as tx:
            locks.lock(tx, LockTarget.IDENTITY, str(EVE), reason="test")
        await until(lambda: outcomes(service) == {text: ["stopped"] for text in BOTH})
        await until(lambda: service.house.ledger.open == {})
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_of_many_that_look_one_takes_each(tmp_path: Path, core: RawCore) -> None:
    async with served(tmp_path, core) as service, beside(service) as other:
        tasks = await give(service, *BOTH)
        store, ledger = service.house.store, service.house.ledger
        with store.read() as tx:
            assert not watch.anybody_waits(tx)
            assert all(watch.holds(tx, number, ledger.watcher, 5) for number in ledger.open)
        expire(service.house)
        with store.read() as tx:
            assert watch.anybody_waits(tx)
        with store.write(OWN) as tx:
            assert len(watch.take(tx, "first", 1)) == 1
        with other.house.store.write(OWN) as tx:
            assert len(watch.take(tx, "second", 10)) == 1
        with store.write(OWN) as tx:
            assert watch.take(tx, "third", 10) == []
            watch.keep(tx, ledger.watcher, list(ledger.open))
            assert not any(watch.holds(tx, number, ledger.watcher, 0) for number in ledger.open), "they are taken"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
