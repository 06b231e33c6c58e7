"""Commands at the core: a real service with a real sample core process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.server import Server
from aizen_hub.store import tables
from tests.fixtures.network.ports import free_port
from tests.fixtures.timing import until
from tests.service.conftest import INSTANCE, OPERATOR, Driver, populate, settings_for

CORE = Path(__file__).parents[3] / "deploy/sample-core/core.py"
CREDENTIAL = "the-core-reports-with-this-credential-01234"


class ServiceWithCore:
    """A service and its core; both can be stopped and restarted."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder, self.port, self.more = folder, free_port(), more
        self.file = folder / "core-credential"
        self.file.write_text(CREDENTIAL)
        self.file.chmod(0o600)
        self.data = folder / "core"
        self.data.mkdir()
        self.core_port = free_port()
        self.core: subprocess.Popen[str] | None = None
        self.driver: Driver

    def start_core(self) -> None:
        command = [sys.executable, str(CORE), "--port", str(self.core_port), "--data", str(self.data)]
        command += ["--issuer", f"http://127.0.0.1:{self.port}", "--credential-file", str(self.file)]
        self.core = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self.core.stdout is not None
        self.core.stdout.readline()

    def stop_core(self) -> None:
        if self.core is not None:
            self.core.terminate()
            self.core.wait(timeout=20)
            assert self.core.stdout is not None
            self.core.stdout.close()
            self.core = None

    async def start(self) -> None:
        core = {
            "url": f"http://127.0.0.1:{self.core_port}",
            "credential_file": self.file,
            "connect_seconds": 10,
            "idle_seconds": 20,
        }
        settings = settings_for(self.folder, core=core, service={"port": self.port}, **self.more)
        is_new = not (self.folder / "data").exists()
        context = build_context(settings, instance=INSTANCE, environ={})
        server = Server(context, "127.0.0.1", self.port)
        await server.start()
        self.driver = Driver(server)
        if is_new:
            self.driver.robot = populate(context)

    async def stop(self) -> None:
        self.driver.close()
        await self.driver.server.stop()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ServiceWithCore]:
    world = ServiceWithCore(tmp_path)
    await asyncio.to_thread(world.start_core)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
        await asyncio.to_thread(world.stop_core)


def audit(driver: Driver, event: str) -> list[dict[str, Any]]:
    with driver.context.store.read() as tx:
        return search_newest(tx.conn, AuditFilter(event=event))


def running(driver: Driver) -> list[str]:
    with driver.context.store.read() as tx:
        return list(tx.conn.scalars(select(tables.jobs.c.key).where(tables.jobs.c.ended.is_(None))))


@pytest.mark.proves("R82", "R83")
async def test_a_job_streams_to_its_end_and_is_recorded(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    response = await service.command(eve, "start training churn")
    assert response.status == 200, response.body
    assert response.headers["Content-Type"] == "application/x-ndjson"
    first, *middle, last = response.lines
    assert (first["event"], first["decision"]["allowed"]) == ("decision", True)
    assert first["canonical"] == "start training churn"
    assert any(event["event"] == "progress" for event in middle)
    assert (last["event"], last["state"]) == ("end", "done"), last
    state = await service.call("GET", f"/api/v1/commands/{first['id']}", auth=eve.auth)
    assert (state.json["state"], state.json["canonical"]) == ("done", "start training churn")
    assert [row["details"]["decision"] for row in audit(service, "intent")] == [first["id"]]
    outcomes = [row["details"] for row in audit(service, "outcome")]
    assert [(outcome["decision"], outcome["state"]) for outcome in outcomes] == [(first["id"], "done")]
    assert running(service) == []


async def test_a_second_request_with_the_same_key_starts_nothing(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    key = {"Idempotency-Key": "once"}
    first = await service.command(eve, "start training churn", headers=key)
    decision_id = first.lines[0]["id"]
    second = await service.command(eve, "start training churn", headers=key)
    assert (second.status, second.json["id"], second.json["state"]) == (200, decision_id, "done")
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(audit(service, "intent")) == 1


async def test_a_client_that_disconnects_leaves_the_job_running(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    _, writer = await start_stream(service, eve.auth, "start training churn")
    writer.close()
    await until(lambda: audit(service, "outcome"))
    assert audit(service, "outcome")[0]["details"]["state"] == "done"


async def start_stream(service: Driver, auth: str, text: str) -> tuple[Any, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
    body = json.dumps({"text": text}).encode()
    head = f"POST /api/v1/commands HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    line = await asyncio.wait_for(reader.readline(), 30)
    assert b" 200 " in line, await reader.read(4_096)
    while b'"decision"' not in line:
        line = await asyncio.wait_for(reader.readline(), 30)
        assert line, "the stream ended early"
    return json.loads(line), writer


@pytest.mark.proves("T-08", "R78")
async def test_a_lock_cancels_running_commands(world: ServiceWithCore) -> None:
    service = world.driver
    eve, boss = await service.open("eve"), await service.open("boss", None)
    task = asyncio.create_task(service.command(eve, "start training slow"))
    await until(lambda: running(service) == ["training slow"])
    lock = {"target": "identity", "name": "user:eve", "reason": "left"}
    assert (await service.call("POST", "/api/v1/locks", lock, auth=boss.auth)).status == 201
    last = (await asyncio.wait_for(task, 30)).lines[-1]
    assert (last["event"], last["state"]) == ("end", "stopped")
    assert "not allowed any longer" in last["message"]
    assert running(service) == []


async def test_a_revoked_role_cancels_a_job_but_an_ended_session_does_not(world: ServiceWithCore) -> None:
    service = world.driver
    eve, ada = await service.open("eve"), await service.open("ada")
    task = asyncio.create_task(service.command(eve, "start training slow"))
    await until(lambda: running(service) == ["training slow"])
    await service.hub("POST", "/sessions/end", {"user": "eve", "server": "", "reason": "culled"})
    await asyncio.sleep(2.5)
    assert running(service) == ["training slow"], "a job outlives its server"
    assert (await service.command(ada, "revoke role PROJECT_EXECUTOR from eve")).status == 200
    last = (await asyncio.wait_for(task, 30)).lines[-1]
    assert last["state"] == "stopped"


async def test_stop_frees_the_job_and_a_limit_names_its_source(world: ServiceWithCore) -> None:
    service = world.driver
    with service.context.store.write(SERVICE_ACTOR) as tx:
        limits.set_limit(tx, Identity.user("eve"), "p1", "jobs", 1)
    eve = await service.open("eve")
    _, writer = await start_stream(service, eve.auth, "start training slow")
    full = await service.command(eve, "start training churn")
    assert (full.status, full.json["type"]) == (409, "/services/aizen/docs/problems/limit-reached")
    assert full.json["decision"]["allowed"] is True
    for response, state in ((full, "failed"), (await service.command(eve, "list projects"), "done")):
        decision_id = response.json["decision"]["id"]
        assert (await service.call("GET", f"/api/v1/commands/{decision_id}", auth=eve.auth)).json["state"] == state
    stopped = await service.command(eve, "stop training slow")
    assert stopped.lines[-1]["state"] == "done", stopped.body
    await until(lambda: running(service) == [])
    writer.close()
    assert (await service.command(eve, "start training churn")).lines[-1]["state"] == "done"


async def test_an_unreachable_core_is_reported_and_recorded(world: ServiceWithCore) -> None:
    service = world.driver
    await asyncio.to_thread(world.stop_core)
    eve = await service.open("eve")
    response = await service.command(eve, "start training churn")
    assert (response.status, response.json["type"]) == (502, "/services/aizen/docs/problems/core-failed")
    assert response.json["decision"]["allowed"] is True
    assert running(service) == []
    rows = [row for row in audit(service, "decision") if row["id"] == response.json["decision"]["id"]]
    assert rows[0]["allowed"] is True


async def test_a_restarted_service_resumes_the_job(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    first, writer = await start_stream(service, eve.auth, "start training slow")
    writer.close()
    await world.stop()
    await world.start()
    service = world.driver
    await until(lambda: service.context.core.runner.find(first["id"]) is not None)
    state = await service.call("GET", f"/api/v1/commands/{first['id']}", auth=eve.auth)
    assert (state.status, state.json["state"]) == (200, "running")
    assert (await service.command(eve, "stop training slow")).lines[-1]["state"] == "done"
    await until(lambda: running(service) == [])


ACTING = """
roles: {AGENT: {permissions: ["impersonate:users"], scopes: [system]}}
endpoints: {impersonate: "impersonate:users"}
"""


@pytest.mark.proves("R54", "T-06")
async def test_an_impersonated_job_ends_with_the_rights_of_its_actor_after_a_restart(tmp_path: Path) -> None:
    overlay = tmp_path / "acting.yaml"
    overlay.write_text(ACTING)
    world = ServiceWithCore(tmp_path, overlays=[overlay])
    await asyncio.to_thread(world.start_core)
    await world.start()
    try:
        agent = Identity.service_account("agent")
        with world.driver.context.store.write(OPERATOR) as tx:
            accounts.create_service_account(tx, agent.name)
            assignments.unauthorized_write_assignment(tx, "AGENT", "system", agent)
            credential = credentials.issue_credential(tx, agent.name).data["credential"]
        body = {"user": "eve", "project": "p1"}
        response = await world.driver.call("POST", "/api/v1/impersonate", body, auth=f"Bearer {credential}")
        first, writer = await start_stream(world.driver, f"Bearer {response.json['token']}", "start training slow")
        writer.close()
        await world.stop()
        await world.start()
        await until(lambda: world.driver.context.core.runner.find(first["id"]) is not None)
        with world.driver.context.store.write(OPERATOR) as tx:
            locks.lock_target(tx, LockTarget.IDENTITY, str(agent), reason="stolen")
        await until(lambda: running(world.driver) == [])
        assert audit(world.driver, "outcome")[0]["details"]["state"] == "stopped"
    finally:
        await world.stop()
        await asyncio.to_thread(world.stop_core)


async def test_a_job_that_the_core_does_not_know_is_not_counted(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    _, writer = await start_stream(service, eve.auth, "start training slow")
    writer.close()
    await world.stop()
    await asyncio.to_thread(world.stop_core)
    for file in world.data.glob("*"):
        if file.is_file():
            file.unlink()
    await asyncio.to_thread(world.start_core)
    await world.start()
    await until(lambda: running(world.driver) == [])
    assert audit(world.driver, "outcome")[0]["details"]["state"] == "unknown"


@pytest.mark.proves("T-01")
async def test_the_core_reports_only_with_its_own_credential(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    first, writer = await start_stream(service, eve.auth, "start training slow")
    path, body = f"/api/v1/jobs/{first['id']}/events", {"event": "end", "state": "done"}
    for auth in (eve.auth, f"Bearer {service.hub_secret}", f"Bearer {service.robot}", None):
        assert (await service.call("POST", path, body, auth=auth)).status == 401
    core = f"Bearer {CREDENTIAL}"
    unknown = await service.call("POST", "/api/v1/jobs/nosuch/events", body, auth=core)
    assert unknown.status == 404, "a job that was not started here"
    assert (await service.call("POST", path, body, auth=core)).json == {"recorded": True}
    assert (await service.call("POST", path, body, auth=core)).json == {"recorded": False}
    assert running(service) == []
    writer.close()
