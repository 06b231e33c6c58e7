"""The notebook extension with the real service and the sample core."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice, Renderable
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import make_audit_record
from tests.fixtures.network.ports import free_port
from tests.service.conftest import Driver, populate, settings_for

CORE = Path(__file__).parents[2] / "deploy/sample-core/core.py"


@dataclass
class RunningService:
    """A running service with its core."""

    driver: Driver
    core_pid: int
    settings: Settings

    async def restart(self) -> None:
        """Restart the service at the same address, as a hub or an update does."""
        port = self.driver.server.port
        self.driver.close()
        await self.driver.server.stop()
        server = Server(build_context(self.settings, instance="real", environ={}), "127.0.0.1", port)
        await server.start()
        self.driver = Driver(server)

    async def open_runner(self, user: str, project: str | None = "p1", server: str = "") -> CommandRunner:
        """Open a session as the hub does at a spawn, and return the command runner of its kernel."""
        session = await self.driver.open(user, project, server)
        environ = {
            "AIZEN_URL": self.driver.url,
            "AIZEN_TOKEN": session.token,
            "JUPYTERHUB_API_TOKEN": session.hub_token,
        }
        return CommandRunner(NotebookClient.from_environment(environ))


def write_json(name: str, value: object) -> None:
    Path(name).write_text(json.dumps(value))


async def run(runner: CommandRunner, text: str) -> Renderable:
    return await asyncio.to_thread(runner.run, text)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    port = free_port()
    credential = tmp_path / "core-credential"
    credential.write_text(secrets.token_urlsafe(32))
    credential.chmod(0o600)
    core = await asyncio.create_subprocess_exec(
        sys.executable, str(CORE), "--port", "0", "--issuer", f"http://127.0.0.1:{port}", "--credential-file",
        str(credential), "--data", str(tmp_path / "core"), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert core.stdout is not None
        address = json.loads(await core.stdout.readline())["address"]
        settings = settings_for(
            tmp_path, service={"port": port}, core={"url": address, "credential_file": credential, "idle_seconds": 20}
        )
        server = Server(build_context(settings, instance="real", environ={}), "127.0.0.1", port)
        await server.start()
        driver = Driver(server)
        populate(driver.context)
        service = RunningService(driver, core.pid, settings)
        try:
            yield service
        finally:
            service.driver.close()
            await service.driver.server.stop()
    finally:
        if core.returncode is None:
            core.terminate()
        await core.wait()


async def test_an_executor_may_run_a_training_and_a_reader_may_not(service: RunningService) -> None:
    eve = await service.open_runner("eve")
    done = await run(eve, "start training churn")
    assert isinstance(done, CommandResult), done.text()
    assert (done.state, done.command) == ("done", "start training churn")
    assert done.data["accuracy"] > 0.7
    rob = await service.open_runner("rob")
    refused = await run(rob, "start training churn")
    assert isinstance(refused, Refusal)
    assert refused.is_denial
    assert refused.role == "PROJECT_EXECUTOR"
    assert "ada" in refused.who_can_grant
    assert "request PROJECT_EXECUTOR in p1" in refused.text()
    allowed = await run(rob, "list trainings")
    assert isinstance(allowed, CommandResult)
    assert allowed.rows[0][:2] == ("churn", "done")


async def test_a_grant_is_effective_with_the_next_command(service: RunningService) -> None:
    ada, rob = await service.open_runner("ada"), await service.open_runner("rob")
    assert isinstance(await run(rob, "configure training mine epochs=2 pause=0"), Refusal)
    assert isinstance(await run(ada, "grant role PROJECT_EXECUTOR to rob"), CommandResult)
    assert isinstance(await run(rob, "configure training mine epochs=2 pause=0"), CommandResult)
    done = await run(rob, "start training mine")
    assert isinstance(done, CommandResult)
    assert done.data["epochs"] == 2
    assert isinstance(await run(ada, "revoke role PROJECT_EXECUTOR from rob"), CommandResult)
    assert isinstance(await run(rob, "start training mine"), Refusal)


async def test_the_catalog_contains_every_command(service: RunningService) -> None:
    catalog = await asyncio.to_thread((await service.open_runner("rob")).client.get_catalog)
    assert len(catalog.entries) >= 155
    assert catalog.find("start training churn") is not None
    assert "PROJECT_READER" in catalog.completions("grant role PROJECT_R")
    mistyped = await run(await service.open_runner("rob"), "strat training churn")
    assert isinstance(mistyped, Refusal)
    assert "start training" in mistyped.text()


async def wait_until_running(service: RunningService, text: str) -> None:
    rob = await service.open_runner("rob")
    for _ in range(600):
        status = await run(rob, text)
        if isinstance(status, CommandResult) and status.rows and status.rows[0][1] == "running":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(text)


@pytest.mark.proves("T-08", "R78")
async def test_a_revoked_role_stops_the_command_with_the_reason(service: RunningService) -> None:
    eve, ada = await service.open_runner("eve"), await service.open_runner("ada")
    running = asyncio.create_task(run(eve, "start training slow"))
    await wait_until_running(service, "status training slow")
    assert isinstance(await run(ada, "revoke role PROJECT_EXECUTOR from eve"), CommandResult)
    ended = await asyncio.wait_for(running, 30)
    assert isinstance(ended, CommandResult)
    assert ended.text() == (
        "stopped: not allowed any longer: no assigned role allows `execute:training` in `p1`; PROJECT_EXECUTOR would"
    )
    assert not ended.ok
    assert isinstance(await run(eve, "start training slow"), Refusal)


async def test_a_restart_of_the_service_loses_no_command(service: RunningService) -> None:
    eve = await service.open_runner("eve")
    await run(eve, "configure training long epochs=60 pause=0.15")
    running = asyncio.create_task(run(eve, "start training long"))
    await wait_until_running(service, "status training long")
    await service.restart()
    ended = await asyncio.wait_for(running, 120)
    assert isinstance(ended, CommandResult), ended.text()
    assert (ended.state, ended.data["epochs"]) == ("done", 60)
    jobs = await run(await service.open_runner("rob"), "list trainings")
    assert isinstance(jobs, CommandResult)
    assert len(jobs.rows) == 1, "it was followed, not started again"


async def test_the_state_of_a_command_without_outcome_is_unknown_after_a_restart(service: RunningService) -> None:
    """Only a command with an outcome in the audit is done or failed; one that the core did not report is unknown."""
    eve = await service.driver.open("eve")
    listed = await service.driver.command(eve, "list trainings")
    failed = await service.driver.command(eve, "describe training nowhere")
    of_accounts = await service.driver.command(eve, "list projects")
    ids = [listed.lines[0]["id"], failed.lines[0]["id"], of_accounts.json["id"]]
    # As if the service had been killed after it sent the command: only the decision and the intent are recorded.
    with service.driver.context.store.write(Actor(Identity.user("eve"), Channel.KERNEL, project="p1")) as tx:
        row = make_audit_record(
            tx.actor, "decision", tx.now, decision=Decision(True, Reason.GRANTED, "granted"), command="list datasets"
        )
        tx.audit("intent", project="p1", command="list datasets", details={"decision": row.id})
    service.driver.context.store.append_audit([row])
    await service.restart()
    states = {}
    for id in (*ids, row.id):
        answer = await service.driver.call("GET", f"/api/v1/commands/{id}", auth=eve.auth)
        states[id] = answer.json["state"]
    assert list(states.values()) == ["done", "failed", "done", "unknown"]


@pytest.mark.proves("T-08", "R78")
async def test_a_lock_stops_a_running_command(service: RunningService) -> None:
    eve, boss = await service.open_runner("eve"), await service.driver.open("boss", None)
    running = asyncio.create_task(run(eve, "start training slow"))
    await wait_until_running(service, "status training slow")
    lock = {"target": "identity", "name": "user:eve", "reason": "left the company"}
    locked = await service.driver.call("POST", "/api/v1/locks", lock, auth=boss.auth)
    assert locked.status == 201, locked.body
    ended = await asyncio.wait_for(running, 30)
    assert isinstance(ended, CommandResult)
    assert ended.state == "stopped"
    assert "not allowed any longer" in ended.text()
    status = await run(await service.open_runner("rob"), "status training slow")
    assert isinstance(status, CommandResult)
    assert status.rows[0][1] == "stopped"


async def test_another_user_may_stop_a_job_by_name(service: RunningService) -> None:
    eve, ada = await service.open_runner("eve"), await service.open_runner("ada")
    running = asyncio.create_task(run(eve, "start training slow"))
    for _ in range(600):
        stopped = await run(ada, "stop training slow")
        if isinstance(stopped, CommandResult) and stopped.ok:
            break
        await asyncio.sleep(0.05)
    ended = await asyncio.wait_for(running, 30)
    assert isinstance(ended, CommandResult)
    assert ended.state == "stopped"


async def test_a_command_that_the_core_does_not_support_fails(service: RunningService) -> None:
    output = await run(await service.open_runner("eve"), "start tensorboard churn")
    assert isinstance(output, CommandResult)
    assert output.state == "failed"
    assert "does not support `start tensorboard`" in output.text()


async def test_files_are_sent_with_account_and_core_commands(
    service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json("members.json", [{"id": "rob", "roles": ["PROJECT_EXECUTOR"]}])
    write_json("training.json", {"epochs": 3, "pause": 0})
    maker = await service.open_runner("maker", None)
    created = await run(maker, "create project p3,config=members.json")
    assert isinstance(created, CommandResult), created.text()
    rob = await service.open_runner("rob", "p3")
    configured = await run(rob, "configure training mine config=training.json")
    assert isinstance(configured, CommandResult), configured.text()
    assert configured.data == {"epochs": 3, "pause": 0}
    write_json("members.json", [{}])
    wrong = await run(maker, "create project p4,config=members.json")
    assert isinstance(wrong, Refusal)
    assert "/0" in wrong.text()


@pytest.mark.proves("R111")
async def test_a_users_file_in_another_folder_is_applied(
    service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook, shared = tmp_path / "notebook", tmp_path / "shared"
    for folder in (notebook, shared):
        folder.mkdir()
    monkeypatch.chdir(notebook)
    monkeypatch.setenv("HOME", str(tmp_path))
    boss = await service.open_runner("boss", None)
    users = [{"id": "rob", "email": "rob@example.org", "alerts": {"email": True}}, {"id": "nil", "alerts": []}]
    write_json("u.json", users)
    write_json("../shared/u.json", users)
    for name in ("u.json", "./u.json", "../shared/u.json", str(shared / "u.json"), "~/shared/u.json"):
        altered = await run(boss, f"alter users {name}")
        assert isinstance(altered, CommandResult), altered.text()
        assert "changed 2 users" in altered.text()


async def test_setting_the_project_renews_the_token(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIZEN_PROJECT", "")
    boss = await service.open_runner("boss", None)
    assert isinstance(await run(boss, "set project p1"), CommandResult)
    assert os.environ["AIZEN_PROJECT"] == "p1"
    assert (await asyncio.to_thread(boss.client.get_session))["project"] == "p1"


async def test_another_kernel_of_the_session_follows_the_project(service: RunningService) -> None:
    session = await service.driver.open("boss", None)
    environ = {"AIZEN_URL": service.driver.url, "AIZEN_TOKEN": session.token, "JUPYTERHUB_API_TOKEN": session.hub_token}
    first, second = (CommandRunner(NotebookClient.from_environment(environ)) for _ in range(2))
    assert isinstance(await run(first, "set project p1"), CommandResult)
    assert isinstance(await run(second, "list projects"), CommandResult), "its old token was renewed"
    assert second.client.token.project == "p1"


async def test_an_ended_session_is_explained(service: RunningService) -> None:
    eve = await service.open_runner("eve")
    await service.driver.hub("POST", "/sessions/end", {"user": "eve", "server": "", "reason": "stopped"})
    output = await run(eve, "list projects")
    assert isinstance(output, Refusal)
    assert "your server's session ended at" in output.sentence
    assert output.sentence.endswith(": stopped")
    assert "start your server again at the hub" in output.text()


@pytest.mark.proves("R103")
async def test_the_same_key_has_one_effect(service: RunningService) -> None:
    """A command that is sent again with the same key runs once (R103)."""
    eve = await service.driver.open("eve")
    headers = {"Idempotency-Key": "one-key"}
    first = await service.driver.command(eve, "start dataset churn", headers=headers)
    repeated = await service.driver.command(eve, "start dataset churn", headers=headers)
    assert (first.status, repeated.status) == (200, 200)
    assert repeated.json["id"] == first.lines[0]["id"]
    assert repeated.json["state"] == "done"
    jobs = await run(await service.open_runner("rob"), "list datasets")
    assert isinstance(jobs, CommandResult)
    assert len(jobs.rows) == 1


async def test_a_dead_core_is_reported(service: RunningService) -> None:
    os.kill(service.core_pid, signal.SIGKILL)
    output = await run(await service.open_runner("eve"), "start training churn")
    assert isinstance(output, Refusal)
    assert "cannot be reached" in output.text()
    assert not isinstance(output, Notice)
