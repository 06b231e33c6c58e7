"""A service whose audit cannot be signed any more decides nothing, says why, and goes on by itself."""

from __future__ import annotations

import asyncio
import fcntl
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from aizen_hub.audit.checkpoints import health as module
from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
from aizen_hub.audit.checkpoints.signing import checker
from aizen_hub.problems import Unavailable
from aizen_hub.service.background.tasks import Chores
from aizen_hub.service.factory import OWN, build, refresh_keys
from aizen_hub.store.tables import outbox
from tests.service.conftest import INSTANCE, Driver, settings_for
from tests.service.core.test_gateway import until

GRACE = 60


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "apart").mkdir()
    return {"checkpoint_file": tmp_path / "apart" / "checkpoints", "checkpoint_grace_seconds": GRACE}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for the audit's sink."""
    passed = [0.0]
    now = module._now
    monkeypatch.setattr(module, "_now", lambda: now() + passed[0])

    def wait(seconds: float) -> None:
        passed[0] += seconds

    return wait


def figure(page: bytes, name: str) -> float:
    return float(page.decode().partition(f"\n{name} ")[2].partition("\n")[0])


async def gone(chores: Chores) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        await chores.checkpoint()


@pytest.mark.proves("R7", "R96", "R108", "T-39")
async def test_a_checkpoint_file_that_is_gone_seals_after_a_while(
    service: Driver, tmp_path: Path, later: Callable[[float], None]
) -> None:
    house, chores = service.house, service.server._chores
    await until(lambda: not house.sink.failing)
    eve = await service.open("eve")
    (tmp_path / "apart").rename(tmp_path / "unmounted")
    await gone(chores)
    refresh_keys(house)
    assert (await service.call("GET", "/readyz")).status == 200, "within the grace"
    assert (await service.command(eve, "list trainings")).status != 503
    later(GRACE)
    await gone(chores)
    refresh_keys(house)
    ready = await service.call("GET", "/readyz")
    assert (ready.status, ready.json["sealed"]) == (503, True)
    assert "no such file" in ready.json["detail"]
    assert "`checkpoint_file`" in ready.json["remedy"]
    assert str(tmp_path) not in ready.body.decode()
    refused = await service.command(eve, "list trainings")
    assert (refused.status, refused.json["sealed"]) == (503, True)
    question = {"permission": "read:training"}
    assert (await service.call("POST", "/api/v1/decisions", question, auth=eve.auth)).status == 503
    assert (await service.renew(eve)).status == 503
    assert (await service.call("GET", "/livez")).status == 200
    page = (await service.call("GET", "/metrics")).body
    assert figure(page, "aizen_sealed") == 1
    assert figure(page, "aizen_checkpoint_age_seconds") >= GRACE
    (tmp_path / "unmounted").rename(tmp_path / "apart")
    await until(lambda: house.sealed is None, 15)
    assert (await service.call("GET", "/readyz")).status == 200
    assert (await service.command(eve, "list trainings")).status != 503
    await chores.checkpoint()
    with house.store.read() as tx:
        check = checker(house.keys.list(tx))
    checkpoints, faults = CheckpointFile(house.settings.checkpoint_path).read(check)
    assert (faults, len(checkpoints) >= 2) == ([], True)


@pytest.mark.proves("R7", "R96")
async def test_without_a_checkpoint_file_from_the_start_there_is_no_grace(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    settings = settings_for(tmp_path, checkpoint_file=tmp_path / "apart" / "checkpoints")
    house = build(settings, instance=INSTANCE, environ={})
    chores = Chores(house)
    try:
        await gone(chores)
        refresh_keys(house)
        assert house.sealed is not None
        assert "no such file" in house.sealed
        (tmp_path / "apart").mkdir()
        assert await chores.checkpoint()
        refresh_keys(house)
        assert house.sealed is None
    finally:
        await chores.last()
        await asyncio.to_thread(house.court.close)
        house.store.close()


@pytest.mark.proves("R96")
async def test_a_disk_that_does_not_answer_seals_too_and_holds_nobody_up(
    service: Driver, later: Callable[[float], None]
) -> None:
    house = service.house
    await until(lambda: not house.sink.failing)
    eve = await service.open("eve")
    with house.settings.checkpoint_path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stuck = asyncio.create_task(service.server._chores.checkpoint())
        assert (await service.call("GET", "/api/v1/me", auth=eve.auth)).status == 200
        later(GRACE + 1)
        refresh_keys(house)
        ready = await service.call("GET", "/readyz")
        assert (ready.status, ready.json["sealed"]) == (503, True)
        assert f"not signed for more than {GRACE} s" in ready.json["detail"]
        assert "`checkpoint`" in ready.json["remedy"]
        assert not stuck.done()
    assert await asyncio.wait_for(stuck, 10)
    await until(lambda: house.sealed is None, 15)


@pytest.mark.proves("T-40")
async def test_a_start_without_the_former_checkpoints_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_for(tmp_path)
    told = []
    for lose in (False, False, True):
        caplog.clear()
        if lose:
            settings.checkpoint_path.unlink()
        house = build(settings, instance=INSTANCE, environ={})
        told.append("checkpoint file is not there" in caplog.text)
        await Chores(house).last()
        await asyncio.to_thread(house.court.close)
        house.store.close()
    assert told == [False, False, True]


async def test_what_did_not_move_is_signed_already(service: Driver) -> None:
    house, chores = service.house, service.server._chores
    await until(lambda: not house.sink.failing)
    await chores.checkpoint()
    before = house.settings.checkpoint_path.read_bytes()
    assert not await chores.checkpoint()
    assert house.settings.checkpoint_path.read_bytes() == before
    assert json.loads(before.splitlines()[-1])["content"]["heads"]


@pytest.fixture
def slow_webhook() -> Iterator[Any]:
    """A webhook that answers when it is told to, and counts who came."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            server.got += 1
            server.go_on.wait(60)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.go_on = 0, threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


async def test_the_end_waits_for_one_alert_and_holds_nobody_up(tmp_path: Path, slow_webhook: Any) -> None:
    url = f"http://127.0.0.1:{slow_webhook.server_port}/"
    house = build(settings_for(tmp_path, alerts={"webhook_url": url}), instance=INSTANCE, environ={})
    chores = Chores(house)
    row = {"recipient": "*", "channel": "webhook", "event": "job-done", "payload": {}, "tries": 0}
    try:
        with house.store.write(OWN) as tx:
            tx.conn.execute(insert(outbox), [{**row, "created": tx.now, "next_try": tx.now} for _ in range(5)])
        posting = asyncio.create_task(chores._post())
        await until(lambda: slow_webhook.got == 1)
        ending = asyncio.create_task(chores.last())
        await until(lambda: chores._courier._ending.is_set())
        # If closing held the loop, nobody could tell the webhook to answer.
        asyncio.get_running_loop().call_later(0.1, slow_webhook.go_on.set)
        await asyncio.wait_for(ending, 30)
        await asyncio.wait_for(posting, 30)
        assert slow_webhook.got == 1
        with house.store.read() as tx:
            sent = tx.conn.scalar(select(func.count()).select_from(outbox).where(outbox.c.sent.is_not(None)))
        assert sent == 1
    finally:
        await asyncio.to_thread(house.court.close)
        house.store.close()


async def test_a_default_installation_has_no_alert_that_nobody_could_deliver(service: Driver) -> None:
    """The first admin got a role at the first start, and nothing says how anybody would be told."""
    with service.house.store.read() as tx:
        assert tx.conn.scalar(select(func.count()).select_from(outbox)) == 0
