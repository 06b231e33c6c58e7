"""A service that is killed while the core carries out its commands: every intent gets its one outcome (T-45)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.faults.conftest import Opener
from tests.faults.installation import Installation
from tests.faults.recording_client import Client, Session
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, RawCore, raw_core

pytestmark = pytest.mark.faults

HASTY = ("tests.faults.short_leases",)
LOST, SLOW, JOB, PLAIN = "start dataset churn", "start dataset slow", "start training slow", "list datasets"
OFTEN = "list trainings"
LONGEST = 60.0


class Core:
    """A core with something in every stage: not heard of, not accepted yet, and running; the rest it does at once."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}
        self.go = asyncio.Event()

    async def __call__(self, core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        method, path = request.split()
        if method == "POST":
            body = json.loads(core.bodies[-1])
            assert body["id"] not in self.commands, "sent twice"
            text = self.commands[body["id"]] = body["command"]
            if text in (LOST, SLOW):
                await self.go.wait()
        else:
            text = self.commands.get(path.rpartition("/")[2], LOST)
        if method == "GET" and text == LOST:
            writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            if text != OFTEN:
                await self.go.wait()
            writer.write(DONE)
        await writer.drain()


@contextmanager
def giving(installation: Installation, session: Session, texts: tuple[str, ...]) -> Iterator[None]:
    """Give commands, and one over and over, until the block ends."""
    ended = threading.Event()

    def give(text: str) -> None:
        client = Client(installation, text)
        while True:
            client.send("POST", "/api/v1/commands", {"text": text}, session.token)
            if text != OFTEN or ended.is_set():
                return

    threads = [threading.Thread(target=give, args=(text,), daemon=True) for text in texts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(LONGEST)


def settled(installation: Installation) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the outcomes of every intent, and the commands."""
    rows = installation.read_state().rows
    texts = {row.body["details"]["decision"]: row.body["command"] for row in rows if row.body["event"] == "intent"}
    ends: dict[str, list[str]] = {number: [] for number in texts}
    for row in rows:
        if row.body["event"] == "outcome":
            ends[row.body["details"]["decision"]].append(row.body["details"]["state"])
    return ends, texts


async def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONGEST
    while not await asyncio.to_thread(check):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.1)


async def killed(open_installation: Opener, after: Callable[[Installation], None]) -> None:
    core = Core()
    async with raw_core(core) as raw:
        here = await asyncio.to_thread(
            lambda: open_installation(module=HASTY, core={"url": raw.url, "idle_seconds": 60})
        )
        client = Client(here, "before")
        await asyncio.to_thread(client.grant, "u0", "p0")
        session = await asyncio.to_thread(client.open_session, "u0", "p0")
        assert session is not None
        held = (LOST, SLOW, JOB, PLAIN)
        load = giving(here, session, (*held, OFTEN, OFTEN, OFTEN))
        await asyncio.to_thread(load.__enter__)
        try:
            await until(lambda: set(held) <= set(core.commands.values()) and len(core.commands) > 20)
            await asyncio.to_thread(here.service.kill)
        finally:
            await asyncio.to_thread(load.__exit__, None, None, None)
        await asyncio.to_thread(after, here)
        core.go.set()
        await until(lambda: all(settled(here)[0].values()))
        ends, texts = settled(here)
    assert [number for number, states in ends.items() if len(states) != 1] == []
    assert set(core.commands) <= set(ends), "no effect without an intent"
    found = {texts[number]: states[0] for number, states in ends.items() if texts[number] != OFTEN}
    assert found == {LOST: "unknown", SLOW: "done", JOB: "done", PLAIN: "done"}
    print(Counter(state for states in ends.values() for state in states))


@pytest.mark.proves("R93", "T-45")
async def test_killed_and_started_again(sqlite_installation: Opener) -> None:
    await killed(sqlite_installation, lambda here: here.service.start())


@pytest.mark.needs("postgres")
@pytest.mark.proves("R93", "T-08", "T-45")
async def test_killed_beside_another_replica(postgres_installation: Opener) -> None:
    await killed(postgres_installation, lambda here: None)
