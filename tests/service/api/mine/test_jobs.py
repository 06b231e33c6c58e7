"""Jobs of the requesting identity: listed, followed from where they are, stopped, and never those of others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.timing import until
from tests.jobs.raw_core import ACCEPTED, HEAD, RawCore, line, raw_core
from tests.service.conftest import Driver, Session
from tests.service.core.test_core_start import NOT_KNOWN, served
from tests.service.core.test_gateway import audit

RESULT = {"kind": "object", "message": "trained", "data": {"accuracy": 0.9}}


class TalkingCore:
    """A core that reports a log line and a progress, and ends when the test or a cancellation ends it."""

    def __init__(self) -> None:
        self.end, self.stopped = asyncio.Event(), dict[str, asyncio.Event]()

    async def __call__(self, core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        method, path = request.split()
        id = json.loads(core.bodies[-1])["id"] if method == "POST" else path.rpartition("/")[2]
        if method == "GET" and id not in self.stopped:
            writer.write(NOT_KNOWN)
        elif method == "DELETE":
            self.stopped[id].set()
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            stopped = self.stopped.setdefault(id, asyncio.Event())
            writer.write(HEAD + ACCEPTED + line("log", line="epoch 1"))
            writer.write(line("progress", fraction=0.25, message="epoch 1 of 4"))
            await writer.drain()
            waiting = [asyncio.create_task(event.wait()) for event in (self.end, stopped)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            state = "stopped" if stopped.is_set() else "done"
            writer.write(line("end", state=state, result=None if stopped.is_set() else RESULT))
        await writer.drain()


@pytest.fixture
async def talking() -> TalkingCore:
    return TalkingCore()


@pytest.fixture
async def core(talking: TalkingCore) -> AsyncIterator[RawCore]:
    async with raw_core(talking) as core:
        yield core


@pytest.fixture
async def service(tmp_path: Path, core: RawCore) -> AsyncIterator[Driver]:
    async with served(tmp_path, core) as service:
        yield service


async def jobs(service: Driver, session: Session, query: str = "") -> list[dict[str, Any]]:
    response = await service.call("GET", f"/api/v1/jobs{query}", auth=session.auth)
    assert response.status == 200, response.body
    listed: list[dict[str, Any]] = response.json["jobs"]
    return listed


async def start(service: Driver, session: Session, text: str = "start training churn") -> tuple[Any, dict[str, Any]]:
    """Start a command and wait for its first progress; returns its stream and the job."""
    known = {job["id"] for job in await jobs(service, session)}
    stream = asyncio.create_task(service.command(session, text))

    for _ in range(1200):
        new = [job for job in await jobs(service, session) if job["id"] not in known and job["fraction"] is not None]
        if new:
            return stream, new[0]
        await asyncio.sleep(0.05)
    raise AssertionError("the job was not listed")


async def test_a_running_job_is_listed_and_followed_from_where_it_is(service: Driver, talking: TalkingCore) -> None:
    eve = await service.open("eve")
    stream, job = await start(service, eve)
    assert (job["line"], job["state"], job["fraction"]) == ("start training churn", "running", 0.25)
    assert (job["project"], job["message"], job["in_this_session"]) == ("p1", "epoch 1 of 4", True)
    assert job["started"] is not None
    assert job["ended"] is None
    other_server = await service.open("eve", server="second")
    [seen] = await jobs(service, other_server)
    assert not seen["in_this_session"]
    follower = asyncio.create_task(service.call("GET", f"/api/v1/jobs/{job['id'][-8:]}/events", auth=other_server.auth))
    await until(lambda: len(service.context.core.runner.find(job["id"])._readers) == 2)
    talking.end.set()
    first, *events = (await follower).lines
    assert (first["event"], first["job"]["id"]) == ("job", job["id"])
    assert [event["event"] for event in events] == ["log", "progress", "end"]
    assert events[0]["line"] == "epoch 1"
    assert (events[-1]["state"], events[-1]["result"]) == ("done", RESULT)
    await stream
    [ended] = await jobs(service, eve)
    assert (ended["state"], ended["fraction"]) == ("done", 1.0)
    assert ended["ended"] is not None
    assert await jobs(service, eve, "?which=running") == []
    late = await service.call("GET", f"/api/v1/jobs/{job['id']}/events", auth=eve.auth)
    assert late.lines[-1]["result"] == RESULT, "the end is repeated to those who attach later"


async def test_a_job_is_stopped_by_the_user_who_started_it(service: Driver, talking: TalkingCore) -> None:
    eve, ada = await service.open("eve"), await service.open("ada")
    stream, job = await start(service, eve)
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/stop")):
        refused = await service.call(method, f"/api/v1/jobs/{job['id']}{path}", auth=ada.auth)
        absent = await service.call(method, f"/api/v1/jobs/{'0' * 46}{path}", auth=ada.auth)
        assert refused.status == absent.status == 404
        assert refused.json["detail"] == absent.json["detail"]
    assert not talking.stopped[job["id"]].is_set()
    stopped = await service.call("POST", f"/api/v1/jobs/{job['id']}/stop", auth=eve.auth)
    assert stopped.status == 202, stopped.body
    end = (await stream).lines[-1]
    assert (end["event"], end["state"]) == ("end", "stopped")
    [row] = audit(service, "job.stop-requested")
    assert (row["identity"], row["details"]["job"], row["project"]) == ("user:eve", job["id"], "p1")
    again = await service.call("POST", f"/api/v1/jobs/{job['id']}/stop", auth=eve.auth)
    assert (again.status, again.json["state"]) == (409, "stopped")


async def test_a_job_of_another_process_is_followed_to_its_end(
    tmp_path: Path, core: RawCore, talking: TalkingCore
) -> None:
    """A second service at the same store shows, follows and stops it, without its progress."""
    async with served(tmp_path, core) as first, served(tmp_path, core, new=False) as second:
        eve = await first.open("eve")
        stream, job = await start(first, eve)
        [seen] = await jobs(second, eve)
        assert (seen["id"], seen["state"], seen["fraction"]) == (job["id"], "running", None)
        follower = asyncio.create_task(second.call("GET", f"/api/v1/jobs/{job['id']}/events", auth=eve.auth))
        stopped = await second.call("POST", f"/api/v1/jobs/{job['id']}/stop", auth=eve.auth)
        assert stopped.status == 202, stopped.body
        assert (await stream).lines[-1]["state"] == "stopped"
        events = (await follower).lines
        assert {event["event"] for event in events[1:-1]} <= {"progress"}
        assert (events[-1]["event"], events[-1]["state"]) == ("end", "stopped")


async def test_an_id_is_named_by_its_end(service: Driver, talking: TalkingCore) -> None:
    eve = await service.open("eve")
    streams = []
    for number in range(4):
        stream, _ = await start(service, eve, f"start training t{number}")
        streams.append(stream)
    ids = [job["id"] for job in await jobs(service, eve)]
    too_short = await service.call("GET", f"/api/v1/jobs/{ids[0][-3:]}", auth=eve.auth)
    assert too_short.status == 404
    found = await service.call("GET", f"/api/v1/jobs/{ids[0][-8:]}", auth=eve.auth)
    assert found.json["id"] == ids[0]
    page = await service.call("GET", "/api/v1/jobs?limit=3", auth=eve.auth)
    assert ([job["id"] for job in page.json["jobs"]], page.json["more"]) == (ids[:3], True)
    talking.end.set()
    await asyncio.gather(*streams)
