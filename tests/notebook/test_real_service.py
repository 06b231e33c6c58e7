"""The notebook side, the real service and the real sample core together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aizen_hub.notebook.client import Client
from aizen_hub.notebook.console import Console
from aizen_hub.notebook.display import Notice, Refusal, Result, Shown
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import build
from aizen_hub.service.server import Server
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import make_row
from tests.fixtures.ports import free_port
from tests.service.conftest import Driver, populate, settings_for

CORE = Path(__file__).parents[2] / "deploy/sample-core/core.py"


@dataclass
class Place:
    """A running service with its core."""

    driver: Driver
    core_pid: int
    settings: Settings

    async def restart(self) -> None:
        """Stop the service and start it again at its address, as a hub or an update does."""
        port = self.driver.server.port
        self.driver.close()
        await self.driver.server.stop()
        server = Server(build(self.settings, instance="real", environ={}), "127.0.0.1", port)
        await server.start()
        self.driver = Driver(server)

    async def console(self, user: str, project: str | None = "p1", server: str = "") -> Console:
        """Open a session as the hub does at a spawn, and return what stands behind the magics of its kernel."""
        session = await self.driver.open(user, project, server)
        environ = {
            "AIZEN_URL": self.driver.url,
            "AIZEN_TOKEN": session.token,
            "JUPYTERHUB_API_TOKEN": session.hub_token,
        }
        return Console(Client.from_environment(environ))


def write_json(name: str, value: object) -> None:
    Path(name).write_text(json.dumps(value))


async def run(console: Console, text: str) -> Shown:
    return await asyncio.to_thread(console.run, text)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    port = free_port()
    credential = tmp_path / "core-credential"
    credential.write_text("c" * 43)
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
        server = Server(build(settings, instance="real", environ={}), "127.0.0.1", port)
        await server.start()
        driver = Driver(server)
        populate(driver.house)
        place = Place(driver, core.pid, settings)
        try:
            yield place
        finally:
            place.driver.close()
            await place.driver.server.stop()
    finally:
        if core.returncode is None:
            core.terminate()
        await core.wait()


async def test_an_executor_runs_and_a_reader_is_told_why_not(place: Place) -> None:
    eve = await place.console("eve")
    done = await run(eve, "start training churn")
    assert isinstance(done, Result), done.text()
    assert (done.state, done.command) == ("done", "start training churn")
    assert done.data["accuracy"] > 0.7
    rob = await place.console("rob")
    refused = await run(rob, "start training churn")
    assert isinstance(refused, Refusal)
    assert refused.is_denial
    assert refused.role == "PROJECT_EXECUTOR"
    assert "ada" in refused.who_can_grant
    assert "grant role PROJECT_EXECUTOR to" in refused.text()
    allowed = await run(rob, "list trainings")
    assert isinstance(allowed, Result)
    assert allowed.rows[0][:2] == ("churn", "done")


async def test_a_grant_works_for_the_very_next_command(place: Place) -> None:
    ada, rob = await place.console("ada"), await place.console("rob")
    assert isinstance(await run(rob, "configure training mine epochs=2 pause=0"), Refusal)
    assert isinstance(await run(ada, "grant role PROJECT_EXECUTOR to rob"), Result)
    assert isinstance(await run(rob, "configure training mine epochs=2 pause=0"), Result)
    done = await run(rob, "start training mine")
    assert isinstance(done, Result)
    assert done.data["epochs"] == 2
    assert isinstance(await run(ada, "revoke role PROJECT_EXECUTOR from rob"), Result)
    assert isinstance(await run(rob, "start training mine"), Refusal)


async def test_the_catalog_knows_every_command(place: Place) -> None:
    vocabulary = await asyncio.to_thread((await place.console("rob")).client.vocabulary)
    assert len(vocabulary.entries) >= 155
    assert vocabulary.find("start training churn") is not None
    assert "PROJECT_READER" in vocabulary.completions("grant role PROJECT_R")
    mistyped = await run(await place.console("rob"), "strat training churn")
    assert isinstance(mistyped, Refusal)
    assert "start training" in mistyped.text()


async def begun(place: Place, text: str) -> None:
    rob = await place.console("rob")
    for _ in range(200):
        status = await run(rob, text)
        if isinstance(status, Result) and status.rows and status.rows[0][1] == "running":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(text)


@pytest.mark.proves("T-08", "R78")
async def test_who_loses_the_role_reads_in_the_cell_why_it_was_stopped(place: Place) -> None:
    eve, ada = await place.console("eve"), await place.console("ada")
    running = asyncio.create_task(run(eve, "start training slow"))
    await begun(place, "status training slow")
    assert isinstance(await run(ada, "revoke role PROJECT_EXECUTOR from eve"), Result)
    ended = await asyncio.wait_for(running, 10)
    assert isinstance(ended, Result)
    assert ended.text() == (
        "stopped: not allowed any longer: `execute:training` in `p1` needs a role that gives it, "
        "such as PROJECT_EXECUTOR"
    )
    assert not ended.ok
    assert isinstance(await run(eve, "start training slow"), Refusal)


async def test_a_service_that_goes_away_and_comes_back_loses_no_command(place: Place) -> None:
    eve = await place.console("eve")
    await run(eve, "configure training long epochs=60 pause=0.05")
    running = asyncio.create_task(run(eve, "start training long"))
    await begun(place, "status training long")
    await place.restart()
    ended = await asyncio.wait_for(running, 30)
    assert isinstance(ended, Result), ended.text()
    assert (ended.state, ended.data["epochs"]) == ("done", 60)
    jobs = await run(await place.console("rob"), "list trainings")
    assert isinstance(jobs, Result)
    assert len(jobs.rows) == 1, "it was followed again, not started again"


async def test_what_became_of_a_command_is_not_made_up_after_a_restart(place: Place) -> None:
    """Only what has an outcome on record is told as done; a command that left without coming back is unknown."""
    eve = await place.driver.open("eve")
    listed = await place.driver.command(eve, "list trainings")
    failed = await place.driver.command(eve, "describe training nowhere")
    of_accounts = await place.driver.command(eve, "list projects")
    ids = [listed.lines[0]["id"], failed.lines[0]["id"], of_accounts.json["id"]]
    # As if the service had been killed after the core took the command: its decision and its intent, and no more.
    with place.driver.house.store.write(Actor(Identity.user("eve"), Road.KERNEL, project="p1")) as tx:
        row = make_row(
            tx.actor, "decision", tx.now, decision=Decision(True, Reason.GRANTED, "granted"), command="list datasets"
        )
        tx.audit("intent", project="p1", command="list datasets", details={"decision": row.id})
    place.driver.house.store.record([row])
    await place.restart()
    found = {}
    for id in (*ids, row.id):
        answer = await place.driver.call("GET", f"/api/v1/commands/{id}", auth=eve.auth)
        found[id] = answer.json["state"]
    assert list(found.values()) == ["done", "failed", "done", "unknown"]


@pytest.mark.proves("T-08", "R78")
async def test_a_lock_stops_what_runs(place: Place) -> None:
    eve, boss = await place.console("eve"), await place.driver.open("boss", None)
    running = asyncio.create_task(run(eve, "start training slow"))
    await begun(place, "status training slow")
    lock = {"target": "identity", "name": "user:eve", "reason": "left the company"}
    locked = await place.driver.call("POST", "/api/v1/locks", lock, auth=boss.auth)
    assert locked.status == 201, locked.body
    ended = await asyncio.wait_for(running, 10)
    assert isinstance(ended, Result)
    assert ended.state == "stopped"
    assert "not allowed any longer" in ended.text()
    status = await run(await place.console("rob"), "status training slow")
    assert isinstance(status, Result)
    assert status.rows[0][1] == "stopped"


async def test_somebody_else_may_stop_a_job_by_name(place: Place) -> None:
    eve, ada = await place.console("eve"), await place.console("ada")
    running = asyncio.create_task(run(eve, "start training slow"))
    for _ in range(100):
        stopped = await run(ada, "stop training slow")
        if isinstance(stopped, Result) and stopped.ok:
            break
        await asyncio.sleep(0.05)
    ended = await asyncio.wait_for(running, 10)
    assert isinstance(ended, Result)
    assert ended.state == "stopped"


async def test_what_the_core_cannot_do_is_not_pretended(place: Place) -> None:
    shown = await run(await place.console("eve"), "start tensorboard churn")
    assert isinstance(shown, Result)
    assert shown.state == "failed"
    assert "does not carry out `start tensorboard`" in shown.text()


async def test_files_travel_to_accounts_and_to_the_core(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json("members.json", [{"id": "rob", "roles": ["PROJECT_EXECUTOR"]}])
    write_json("training.json", {"epochs": 3, "pause": 0})
    maker = await place.console("maker", None)
    made = await run(maker, "create project p3,config=members.json")
    assert isinstance(made, Result), made.text()
    rob = await place.console("rob", "p3")
    configured = await run(rob, "configure training mine config=training.json")
    assert isinstance(configured, Result), configured.text()
    assert configured.data == {"epochs": 3, "pause": 0}
    write_json("members.json", [{}])
    wrong = await run(maker, "create project p4,config=members.json")
    assert isinstance(wrong, Refusal)
    assert "/0" in wrong.text()


async def test_setting_the_project_renews_the_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIZEN_PROJECT", "")
    boss = await place.console("boss", None)
    assert isinstance(await run(boss, "set project p1"), Result)
    assert os.environ["AIZEN_PROJECT"] == "p1"
    assert (await asyncio.to_thread(boss.client.me))["project"] == "p1"


async def test_another_kernel_of_the_session_follows_the_project(place: Place) -> None:
    session = await place.driver.open("boss", None)
    environ = {"AIZEN_URL": place.driver.url, "AIZEN_TOKEN": session.token, "JUPYTERHUB_API_TOKEN": session.hub_token}
    first, second = (Console(Client.from_environment(environ)) for _ in range(2))
    assert isinstance(await run(first, "set project p1"), Result)
    assert isinstance(await run(second, "list projects"), Result), "its old token was renewed on the way"
    assert second.client.token.project == "p1"


async def test_an_ended_session_is_told_in_words(place: Place) -> None:
    eve = await place.console("eve")
    await place.driver.hub("POST", "/sessions/end", {"user": "eve", "server": "", "reason": "stopped"})
    shown = await run(eve, "list projects")
    assert isinstance(shown, Refusal)
    assert "restart" in shown.text()


@pytest.mark.proves("R103")
async def test_the_same_key_has_one_effect(place: Place) -> None:
    """A command whose answer was lost is sent again with its key: it does not run twice (R103)."""
    eve = await place.driver.open("eve")
    headers = {"Idempotency-Key": "one-key"}
    first = await place.driver.command(eve, "start dataset churn", headers=headers)
    again = await place.driver.command(eve, "start dataset churn", headers=headers)
    assert (first.status, again.status) == (200, 200)
    assert again.json["id"] == first.lines[0]["id"]
    assert again.json["state"] == "done"
    jobs = await run(await place.console("rob"), "list datasets")
    assert isinstance(jobs, Result)
    assert len(jobs.rows) == 1


async def test_a_core_that_died_is_told(place: Place) -> None:
    os.kill(place.core_pid, signal.SIGKILL)
    shown = await run(await place.console("eve"), "start training churn")
    assert isinstance(shown, Refusal)
    assert "cannot be reached" in shown.text()
    assert not isinstance(shown, Notice)
