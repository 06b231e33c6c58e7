"""The sample core as a process: what it accepts, what it does, and that no process of it is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.settings import Settings
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from tests.deploy.sample_core.real_core import (
    CORE,
    CREDENTIAL,
    Core,
    Issuer,
    children,
    execute,
    is_alive,
    make_command,
    start_core,
)
from tests.fixtures.timing import until


async def post(core: Core, command: CoreCommand, token: str | None, body: bytes | None = None) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"{core.address}/commands",
        method="POST",
        body=command.body() if body is None else body,
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
        raise_error=False,
    )


async def test_a_training_computes_and_shows_its_progress(core: Core) -> None:
    events = await execute(core, make_command("start training churn"))
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert len(fractions) >= 20
    end = events[-1]
    assert end["state"] == "done"
    assert end["result"]["data"]["accuracy"] > 0.7
    assert end["result"]["data"]["loss"] < 0.6
    again = await execute(core, make_command("start training churn"))
    assert again[-1]["result"] == end["result"], "equal arguments give equal results"
    other = await execute(core, make_command("configure training small epochs=2 pause=0"))
    assert other[-1]["state"] == "done"
    small = await execute(core, make_command("start training small"))
    assert small[-1]["result"]["data"]["loss"] > end["result"]["data"]["loss"]


async def test_a_prediction_uses_the_finished_training(core: Core) -> None:
    early = await execute(core, make_command("start prediction churn"))
    assert early[-1]["state"] == "failed"
    assert "start training churn" in early[-1]["message"]
    await execute(core, make_command("start training churn"))
    done = await execute(core, make_command("start prediction churn"))
    assert done[-1]["state"] == "done"
    assert done[-1]["result"]["data"]["customers"] == 400


async def test_configurations_belong_to_their_project(core: Core) -> None:
    made = await execute(core, make_command("configure training mine epochs=3", project="one"))
    assert made[-1]["state"] == "done"
    seen = await execute(core, make_command("describe training mine", project="one"))
    assert ["epochs", 3] in seen[-1]["result"]["rows"]
    other = await execute(core, make_command("describe training mine", project="two"))
    assert other[-1]["state"] == "failed"
    listed = await execute(core, make_command("listconfig trainings", project="one"))
    assert [row[0] for row in listed[-1]["result"]["rows"]] == ["churn", "mine", "slow"]
    gone = await execute(core, make_command("delete training mine", project="one"))
    assert gone[-1]["state"] == "done"
    assert (await execute(core, make_command("describe training mine", project="one")))[-1]["state"] == "failed"


async def test_a_config_file_is_sent_as_content(core: Core) -> None:
    command = make_command(
        "configure training filed config=mine.json", files={"mine.json": '{"epochs": 5, "rate": 0.25}'}
    )
    assert (await execute(core, command))[-1]["result"]["data"] == {"epochs": 5, "rate": 0.25}
    without = make_command("configure training filed config=/etc/passwd")
    assert (await execute(core, without))[-1]["state"] == "failed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("configure training x epochs=0", "between"),
        ("configure training x epochs=many", "not a number"),
        ("configure training x rate=nan", "between"),
        ("configure training x colour=red", "no setting"),
        ("configure training x datasource=--model=/etc/passwd", "name of a datasource"),
        ("configure training ../x", "needs a name"),
        ("start training nowhere", "configure training nowhere"),
        ("stop training churn", "not running"),
        ("start tensorboard churn", "does not support"),
        ("list training", "does not support"),
        ("start trainings churn", "does not support"),
        ("shutdown aizen", "does not support"),
    ],
)
async def test_unsupported_and_invalid_commands_fail_with_a_reason(core: Core, text: str, message: str) -> None:
    events = await execute(core, make_command(text))
    assert events[-1]["state"] == "failed"
    assert message in events[-1]["message"]


async def test_a_job_continues_without_its_client_and_is_stopped_by_name(core: Core) -> None:
    command = make_command("start training slow")
    async with core.client.connect(command) as request:
        await request.send()
    running = children(core.process.pid)
    assert len(running) == 1
    status = await execute(core, make_command("status training slow"))
    assert status[-1]["result"]["rows"][0][:2] == ["slow", "running"]
    twice = await execute(core, make_command("start training slow"))
    assert "running already" in twice[-1]["message"]
    stopped = await execute(core, make_command("stop training slow"))
    assert stopped[-1]["state"] == "done"
    assert children(core.process.pid) == set()
    ended = [event.to_json() async for event in core.client.reattach(command)]
    assert ended[-1]["state"] == "stopped"


async def test_a_restart_stops_the_previous_run(core: Core) -> None:
    first = make_command("start training slow")
    async with core.client.connect(first) as request:
        await request.send()
    before = children(core.process.pid)
    second = make_command("restart training slow")
    async with core.client.connect(second) as request:
        await request.send()
        events = request.events()
        await anext(events)
        await until(lambda: children(core.process.pid) and not children(core.process.pid) & before)
        await core.client.cancel(second)
        *_, end = [event async for event in events]
    assert end.state == "stopped"
    assert children(core.process.pid) == set()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_no_job_is_left_behind(own_core: Core, how: signal.Signals) -> None:
    core = own_core
    # A program that prints nothing for ten seconds, so that it cannot notice the end of the core by a broken pipe.
    await execute(core, make_command("configure training quiet epochs=9 pause=10"))
    async with core.client.connect(make_command("start training quiet")) as request:
        await request.send()
        async for event in request.events():
            if event.message.startswith("epoch"):
                break
    (job,) = children(core.process.pid)
    core.process.send_signal(how)
    await asyncio.to_thread(core.process.wait, 10)
    await until(lambda: not is_alive(job))


async def test_after_a_crash_a_job_counts_as_failed_and_its_id_as_used(issuer: Issuer, tmp_path: Path) -> None:
    first = start_core(issuer, tmp_path / "core")
    command = make_command("start training slow")
    async with first.client.connect(command) as request:
        await request.send()
    first.process.kill()
    first.stop()
    issuer.reports.clear()
    second = start_core(issuer, tmp_path / "core")
    try:
        ended = [event.to_json() async for event in second.client.reattach(command)]
        assert ended[-1]["state"] == "failed"
        assert "stopped while it ran" in ended[-1]["message"]
        response = await post(second, command, second.sign(command, command.body()))
        assert response.code == 409
        await until(lambda: issuer.reports)
        assert issuer.reports[0][0] == command.id
    finally:
        second.stop()


async def test_ends_are_reported_until_they_are_acknowledged(core: Core) -> None:
    core.issuer.report_status = 503
    command = make_command("start dataset churn")
    assert (await execute(core, command))[-1]["state"] == "done"
    await asyncio.sleep(0.1)
    assert core.issuer.reports == []
    core.issuer.report_status = 204
    await until(lambda: core.issuer.reports)
    ((id, authorization, body),) = core.issuer.reports
    assert (id, authorization, body["state"]) == (command.id, f"Bearer {CREDENTIAL}", "done")


@pytest.mark.proves("T-01", "R82")
async def test_a_request_without_a_valid_token_is_refused(core: Core) -> None:
    command = make_command("start training churn")
    assert (await post(core, command, None)).code == 401
    assert (await post(core, command, "not.a.token")).code == 401
    foreign_keys = KeyRing([SigningKey.generate(Purpose.DECISION, datetime.now(UTC))])
    forged = Core(core.process, core.address, Issuer(core.issuer.address, foreign_keys), core.data)
    assert (await post(core, command, forged.sign(command, command.body()))).code == 401
    assert (await execute(core, make_command("list trainings")))[-1]["result"]["rows"] == []


@pytest.mark.proves("T-01", "R82")
async def test_a_decision_is_valid_once(core: Core) -> None:
    command = make_command("start training churn")
    token = core.sign(command, command.body())
    assert (await post(core, command, token)).code == 200
    assert (await post(core, command, token)).code == 409
    assert (await post(core, command, core.sign(command, command.body()))).code == 409
    assert len((await execute(core, make_command("list trainings")))[-1]["result"]["rows"]) == 1


@pytest.mark.proves("T-55", "R82")
async def test_another_command_than_the_decided_one_is_refused(core: Core) -> None:
    decided = make_command("status training churn")
    token = core.sign(decided, decided.body())
    swapped = dataclasses.replace(decided, command="delete training churn", verb="delete")
    assert (await post(core, swapped, token)).code == 401
    assert (await execute(core, make_command("describe training churn")))[-1]["state"] == "done"


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "mallory"},
        {"project": "another"},
        {"decision_id": "0" * 32},
        {"body": b""},
        {"now": timedelta(minutes=-1)},
        {"now": timedelta(minutes=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.proves("R82")
async def test_a_token_for_something_else_is_refused(core: Core, changes: dict[str, Any]) -> None:
    changes = dict(changes)
    if "now" in changes:  # a token is valid for seconds: its time counts from the test, not from the collection
        changes["now"] += datetime.now(UTC)
    command = make_command("start training churn")
    token = core.sign(command, changes.pop("body", command.body()), **changes)
    assert (await post(core, command, token)).code == 401


@pytest.mark.parametrize("foreign", ["issuer", "audience"])
async def test_another_issuer_or_audience_is_refused(core: Core, foreign: str) -> None:
    command = make_command("start training churn")
    elsewhere = "http://127.0.0.1:1"
    issuer = Issuer(elsewhere if foreign == "issuer" else core.issuer.address, core.issuer.ring)
    signer = Core(core.process, elsewhere if foreign == "audience" else core.address, issuer, core.data)
    assert (await post(core, command, signer.sign(command, command.body()))).code == 401


async def test_a_command_of_another_user_is_not_found(core: Core) -> None:
    command = make_command("start training slow")
    async with core.client.connect(command) as request:
        await request.send()
    other = dataclasses.replace(command, user="mallory")
    response = await AsyncHTTPClient().fetch(
        f"{core.address}/commands/{command.id}",
        method="DELETE",
        headers={"Authorization": f"Bearer {core.sign(other, b'')}"},
        raise_error=False,
    )
    assert response.code == 404
    assert len(children(core.process.pid)) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"id":1}', b'{"a":' * 100_000, b"\xff", b'{"id":"' + b"0" * 32 + b'"}'],
    ids=["empty", "cut", "list", "number", "deep", "bytes", "missing"],
)
async def test_bad_bodies_are_refused(core: Core, body: bytes) -> None:
    command = make_command("start training churn")
    assert (await post(core, command, core.sign(command, body), body)).code == 400


async def test_a_flood_of_unknown_keys_causes_few_requests(core: Core) -> None:
    command = make_command("list trainings")
    await execute(core, command)
    before = core.issuer.fetched
    for _ in range(20):
        foreign_keys = KeyRing([SigningKey.generate(Purpose.DECISION, datetime.now(UTC))])
        forged = Core(core.process, core.address, Issuer(core.issuer.address, foreign_keys), core.data)
        assert (await post(core, command, forged.sign(command, command.body()))).code == 401
    assert core.issuer.fetched - before <= 2


async def test_a_new_key_is_found(core: Core) -> None:
    await execute(core, make_command("list trainings"))
    core.issuer.new_keys()
    await asyncio.sleep(2.1)  # the pause between two fetches
    assert (await execute(core, make_command("list trainings")))[-1]["state"] == "done"


def test_the_example_settings_are_valid(tmp_path: Path) -> None:
    snippet = CORE.with_name("aizen.yaml")
    assert Settings.load(snippet, {}).core is not None
    assert yaml.safe_load(snippet.read_text()).keys() == {"core"}


def test_an_address_in_use_is_reported_in_one_line(core: Core, tmp_path: Path) -> None:
    port = core.address.rpartition(":")[2]
    command = [sys.executable, str(CORE), "--port", port, "--issuer", "http://127.0.0.1:1", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
