"""The last decision before the core: as a new command is decided, by the real court, whatever happened on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.users import users
from aizen_hub.jobs import leases as watch
from aizen_hub.jobs.core_client import ACCEPT_SECONDS
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_stream import CoreStream
from aizen_hub.problems import Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.context import House
from aizen_hub.service.core import gateway as core_road
from aizen_hub.service.core.command_log import Ledger, recorded
from aizen_hub.service.factory import OWN, build
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from aizen_hub.store.transaction import Write
from aizen_hub.tokens.keys import Purpose
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, RawCore, raw_core
from tests.service.conftest import INSTANCE, PASSWORD, Driver, Session, settings_for
from tests.service.core.test_gateway import audit, until

EVE = Identity.user("eve")
NOT_KNOWN = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
FRESH = 0.3
"""A decision may be used for a quarter of a second; what is asked here is what comes after that."""


class Gate:
    """Holds up whoever comes by until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()

    def wait(self) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self.open.wait(20), "nobody opened"


def populate(house: House) -> None:
    with house.store.write(OWN) as tx:
        users.create(tx, "ada", password=PASSWORD)
        users.create(tx, "eve", password=PASSWORD)
        for name in ("p1", "p2"):
            projects.create(tx, name, owner=Identity.user("ada"))
        assignments.put(tx, "PROJECT_EXECUTOR", "p1", EVE, reason="test")


@asynccontextmanager
async def served(folder: Path, core: RawCore | None, *, new: bool = True) -> AsyncIterator[Driver]:
    """Serve a small house, found anew or from before."""
    settings = settings_for(folder, core=None if core is None else {"url": core.url})
    house = build(settings, instance=INSTANCE, environ={})
    server = Server(house, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    if new:
        populate(house)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


async def accepts(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
    known = "POST /commands" in core.requests
    writer.write(HEAD + ACCEPTED + DONE if known else NOT_KNOWN)
    await writer.drain()


@pytest.fixture
async def core() -> AsyncIterator[RawCore]:
    async with raw_core(accepts) as found:
        yield found


@pytest.fixture
async def service(tmp_path: Path, core: RawCore) -> AsyncIterator[Driver]:
    async with served(tmp_path, core) as found:
        yield found


@pytest.fixture
async def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Hold a command up while it connects, or after its intent was recorded."""
    found = Gate()
    if request.param == "connecting":
        connect = CoreStream.connect

        async def slowly(self: CoreStream) -> None:
            await connect(self)
            await asyncio.to_thread(found.wait)

        monkeypatch.setattr(CoreStream, "connect", slowly)
    else:
        begin = Ledger.begin

        def slow(self: Ledger, order: Order) -> None:
            begin(self, order)
            found.wait()

        monkeypatch.setattr(Ledger, "begin", slow)
    return found


def _withdraw(tx: Write, eve: Session, house: House) -> object:
    return house.keys.withdraw(tx, [house.keys.ring(tx).signer(Purpose.ROLE)[0].kid], "leaked")


def _later_only(tx: Write, *_: object) -> None:
    tx.conn.execute(update(tables.users).where(tables.users.c.name == "eve").values(not_before=tx.now))
    tx.change("test", {}, ["user:eve"])


def _move(tx: Write, eve: Session, _: House) -> object:
    assignments.put(tx, "PROJECT_EXECUTOR", "p2", EVE, reason="test")
    return sessions.set_project(tx, eve.id, "p2")


ENDS: dict[str, tuple[Callable[[Write, Session, House], object], int]] = {
    "the session ended": (lambda tx, eve, _: sessions.end_session(tx, eve.id, "culled"), 401),
    "the key was withdrawn": (_withdraw, 401),
    "older tokens were ended": (_later_only, 401),
    "the session changed its project": (_move, 401),
    "the session was locked": (lambda tx, eve, _: locks.lock(tx, LockTarget.SESSION, eve.id, reason="test"), 401),
    "the person was locked": (lambda tx, *_: locks.lock(tx, LockTarget.IDENTITY, str(EVE), reason="test"), 401),
    "the role was taken": (lambda tx, *_: assignments.revoke(tx, ["PROJECT_EXECUTOR"], "p1", EVE), 403),
    "the project was deleted": (lambda tx, *_: projects.remove(tx, "p1"), 401),
}


@pytest.mark.proves("R47", "R48", "R81", "R93")
@pytest.mark.parametrize("gate", ["connecting", "recording"], indirect=True)
@pytest.mark.parametrize("how", ENDS)
async def test_what_ended_before_the_first_byte_reaches_no_core(
    service: Driver, core: RawCore, gate: Gate, how: str, request: pytest.FixtureRequest
) -> None:
    end, status = ENDS[how]
    eve = await service.open("eve")
    command = asyncio.create_task(service.command(eve, "start training churn"))
    await gate.reached.wait()
    with service.house.store.write(OWN) as tx:
        end(tx, eve, service.house)
    await asyncio.sleep(FRESH)
    gate.open.set()
    answer = await command
    assert core.requests == []
    assert answer.status == status, answer.body
    assert answer.json["decision"]["allowed"] is False
    denial, first = audit(service, "decision")[:2]
    assert (first["allowed"], denial["allowed"]) == (True, False)
    assert (denial["id"], denial["details"]["again"]) == (answer.json["decision"]["id"], first["id"])
    begun = [row["details"]["decision"] for row in audit(service, "intent")]
    assert begun == ([first["id"]] if "recording" in request.node.callspec.id else [])
    assert [(row["details"]["decision"], row["details"]["state"]) for row in audit(service, "outcome")] == [
        (number, "failed") for number in begun
    ]
    assert left(service) == ([], [])
    with service.house.store.read() as tx:
        known = recorded(tx, first["id"], EVE)
    assert known is not None
    assert known["state"] == "failed"


def left(service: Driver) -> tuple[list[str], list[str]]:
    """Return the commands that are open, and the jobs that count."""
    o, j = tables.open_commands.c, tables.jobs.c
    with service.house.store.read() as tx:
        return (
            list(tx.conn.scalars(select(o.decision_id))),
            list(tx.conn.scalars(select(j.decision_id).where(j.ended.is_(None)))),
        )


@pytest.mark.parametrize("gate", ["connecting", "recording"], indirect=True)
async def test_what_still_holds_is_sent_however_long_it_took(service: Driver, core: RawCore, gate: Gate) -> None:
    eve = await service.open("eve")
    command = asyncio.create_task(service.command(eve, "start training churn"))
    await gate.reached.wait()
    await asyncio.sleep(FRESH)
    gate.open.set()
    assert (await command).lines[-1]["state"] == "done"
    assert core.requests == ["POST /commands"]
    assert [row["allowed"] for row in audit(service, "decision")] == [True], "a yes again needs no row"


@asynccontextmanager
async def another(service: Driver) -> AsyncIterator[House]:
    """Build a second replica on the same database, whose periodic work the test does."""
    house = build(service.house.settings, instance="another", environ={})
    try:
        yield house
    finally:
        await house.runner.close()
        house.pools.close()
        house.hub.close()
        house.court.close()
        house.store.close()


def expire(house: House) -> None:
    o = tables.open_commands
    with house.store.write(OWN) as tx:
        tx.conn.execute(update(o).values(until=tx.now))


@pytest.mark.proves("R103", "R105")
async def test_what_a_replica_is_sending_is_left_to_it(tmp_path: Path) -> None:
    go, known = asyncio.Event(), [False]

    async def slow(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("POST"):
            await go.wait()
            known[0] = True
            writer.write(HEAD + ACCEPTED + DONE)
        else:
            writer.write(HEAD + ACCEPTED + DONE if known[0] else NOT_KNOWN)
        await writer.drain()

    async with raw_core(slow) as core, served(tmp_path, core) as service, another(service) as house:
        eve = await service.open("eve")
        command = asyncio.create_task(service.command(eve, "start training churn"))
        await until(lambda: core.requests)
        for _ in range(3):
            await core_road.resume(house)
            await asyncio.sleep(0.1)
        assert house.runner.running == ()
        number = audit(service, "intent")[0]["details"]["decision"]
        assert left(service) == ([number], [number])
        go.set()
        assert (await command).lines[-1]["state"] == "done"
        assert core.requests == ["POST /commands"]
        assert [row["details"]["state"] for row in audit(service, "outcome")] == ["done"]
        assert left(service) == ([], [])


@pytest.mark.proves("R81", "R103")
@pytest.mark.parametrize("gate", ["recording"], indirect=True)
async def test_who_stood_still_so_long_that_another_took_over_sends_nothing(
    service: Driver, core: RawCore, gate: Gate
) -> None:
    """Or else a job would run that nobody counts."""
    eve = await service.open("eve")
    async with another(service) as house:
        command = asyncio.create_task(service.command(eve, "start training churn"))
        await gate.reached.wait()
        expire(house)
        await core_road.resume(house)
        assert len(house.runner.running) == 1
        await asyncio.sleep(FRESH)
        gate.open.set()
        answer = await command
    assert (answer.status, "took too long" in answer.json["detail"]) == (503, True)
    assert "POST /commands" not in core.requests
    assert [row["details"]["state"] for row in audit(service, "outcome")] in (["unknown"], ["failed"])
    assert left(service) == ([], [])


@pytest.mark.proves("R105")
async def test_an_intent_whose_commit_was_not_answered_is_looked_up(
    service: Driver, core: RawCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, happened = Ledger.begin, [True]

    def unanswered(self: Ledger, order: Order) -> None:
        if happened[0]:
            begin(self, order)
        else:
            self.open[order.id].begun = True
        raise Unavailable("the answer of the database was lost", more={"indeterminate": True})

    monkeypatch.setattr(Ledger, "begin", unanswered)
    eve = await service.open("eve")
    for there in (True, False):
        happened[0] = there
        assert (await service.command(eve, "start training churn")).status == 503
        assert left(service) == ([], []), "no job is counted that was never sent"
        assert [row["details"]["state"] for row in audit(service, "outcome")] == ["failed"]
    assert core.requests == []


def test_a_lease_outlives_what_a_start_may_take() -> None:
    assert watch.START_SECONDS > watch.LEASE_SECONDS > ACCEPT_SECONDS
