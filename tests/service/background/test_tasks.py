"""Scheduled tasks: checkpoints that seal and unseal the service, and the delivery of alerts."""

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

from aizen_hub.audit.checkpoints import health
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.problems import Unavailable
from aizen_hub.service.background.tasks import ScheduledTasks
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.seal import update_seal
from aizen_hub.store.tables import assignment_uses, assignments, outbox
from tests.fixtures.timing import until
from tests.service.conftest import INSTANCE, Driver, settings_for

GRACE = 60


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "apart").mkdir()
    return {"checkpoint_file": tmp_path / "apart" / "checkpoints", "checkpoint_grace_seconds": GRACE}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for the health of checkpoints."""
    passed = [0.0]
    now = health._now
    monkeypatch.setattr(health, "_now", lambda: now() + passed[0])

    def wait(seconds: float) -> None:
        passed[0] += seconds

    return wait


def gauge_value(page: bytes, name: str) -> float:
    return float(page.decode().partition(f"\n{name} ")[2].partition("\n")[0])


async def expect_missing_file(tasks: ScheduledTasks) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        await tasks.checkpoint()


@pytest.mark.proves("R7", "R96", "R108", "T-39")
async def test_a_missing_checkpoint_file_seals_the_service_after_the_grace_period(
    service: Driver, tmp_path: Path, later: Callable[[float], None]
) -> None:
    context, tasks = service.context, service.server._scheduled_tasks
    await until(lambda: not context.checkpoint_health.failing)
    eve = await service.open("eve")
    (tmp_path / "apart").rename(tmp_path / "unmounted")
    await expect_missing_file(tasks)
    update_seal(context)
    assert (await service.call("GET", "/readyz")).status == 200, "within the grace period"
    assert (await service.command(eve, "list trainings")).status != 503
    later(GRACE)
    await expect_missing_file(tasks)
    update_seal(context)
    ready = await service.call("GET", "/readyz")
    assert (ready.status, ready.json["sealed"]) == (503, True)
    assert "no such file" in ready.json["detail"]
    assert "`checkpoint_file`" in ready.json["remedy"]
    assert str(tmp_path) not in ready.body.decode()
    refused = await service.command(eve, "list trainings")
    assert (refused.status, refused.json["sealed"]) == (503, True)
    request = {"permission": "read:training"}
    assert (await service.call("POST", "/api/v1/decisions", request, auth=eve.auth)).status == 503
    assert (await service.renew(eve)).status == 503
    assert (await service.call("GET", "/livez")).status == 200
    page = (await service.call("GET", "/metrics")).body
    assert gauge_value(page, "aizen_sealed") == 1
    assert gauge_value(page, "aizen_checkpoint_age_seconds") >= GRACE
    (tmp_path / "unmounted").rename(tmp_path / "apart")
    await until(lambda: context.state.sealed is None, 15)
    assert (await service.call("GET", "/readyz")).status == 200
    assert (await service.command(eve, "list trainings")).status != 503
    await tasks.checkpoint()
    with context.store.read() as tx:
        check = signature_check(context.keys.list_keys(tx))
    checkpoints, faults = CheckpointFile(context.settings.checkpoint_path).read(check)
    assert (faults, len(checkpoints) >= 2) == ([], True)


@pytest.mark.proves("R7", "R96")
async def test_without_a_checkpoint_file_at_the_start_there_is_no_grace_period(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    settings = settings_for(tmp_path, checkpoint_file=tmp_path / "apart" / "checkpoints")
    context = build_context(settings, instance=INSTANCE, environ={})
    tasks = ScheduledTasks(context)
    try:
        await expect_missing_file(tasks)
        update_seal(context)
        assert context.state.sealed is not None
        assert "no such file" in context.state.sealed
        (tmp_path / "apart").mkdir()
        assert await tasks.checkpoint()
        update_seal(context)
        assert context.state.sealed is None
    finally:
        await tasks.shut_down()
        await asyncio.to_thread(context.decisions.close)
        context.store.close()


@pytest.mark.proves("R96")
async def test_a_disk_that_does_not_answer_seals_the_service_and_blocks_no_request(
    service: Driver, later: Callable[[float], None]
) -> None:
    context = service.context
    await until(lambda: not context.checkpoint_health.failing)
    eve = await service.open("eve")
    with context.settings.checkpoint_path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stuck = asyncio.create_task(service.server._scheduled_tasks.checkpoint())
        assert (await service.call("GET", "/api/v1/me", auth=eve.auth)).status == 200
        later(GRACE + 1)
        update_seal(context)
        ready = await service.call("GET", "/readyz")
        assert (ready.status, ready.json["sealed"]) == (503, True)
        assert f"not signed for more than {GRACE} s" in ready.json["detail"]
        assert "`checkpoint`" in ready.json["remedy"]
        assert not stuck.done()
    assert await asyncio.wait_for(stuck, 10)
    await until(lambda: context.state.sealed is None, 15)


@pytest.mark.proves("T-40")
async def test_a_start_without_the_earlier_checkpoints_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(tmp_path)
    logged = []
    for lose in (False, False, True):
        caplog.clear()
        if lose:
            settings.checkpoint_path.unlink()
        context = build_context(settings, instance=INSTANCE, environ={})
        logged.append("checkpoint file is missing" in caplog.text)
        await ScheduledTasks(context).shut_down()
        await asyncio.to_thread(context.decisions.close)
        context.store.close()
    assert logged == [False, False, True]


async def test_unchanged_chains_are_not_signed_again(service: Driver) -> None:
    context, tasks = service.context, service.server._scheduled_tasks
    await until(lambda: not context.checkpoint_health.failing)
    await tasks.checkpoint()
    before = context.settings.checkpoint_path.read_bytes()
    assert not await tasks.checkpoint()
    assert context.settings.checkpoint_path.read_bytes() == before
    assert json.loads(before.splitlines()[-1])["content"]["heads"]


@pytest.fixture
def slow_webhook() -> Iterator[Any]:
    """A webhook that answers when the test lets it, and counts requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            server.received += 1
            server.go_on.wait(60)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.go_on = 0, threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


async def test_shutdown_waits_for_one_alert_without_blocking_the_event_loop(tmp_path: Path, slow_webhook: Any) -> None:
    url = f"http://127.0.0.1:{slow_webhook.server_port}/"
    context = build_context(settings_for(tmp_path, alerts={"webhook_url": url}), instance=INSTANCE, environ={})
    tasks = ScheduledTasks(context)
    row = {"recipient": "*", "channel": "webhook", "event": "job-done", "payload": {}, "attempts": 0}
    try:
        with context.store.write(SERVICE_ACTOR) as tx:
            tx.conn.execute(insert(outbox), [{**row, "created": tx.now, "next_attempt": tx.now} for _ in range(5)])
        delivery = asyncio.create_task(tasks._deliver_alerts())
        await until(lambda: slow_webhook.received == 1)
        shutdown = asyncio.create_task(tasks.shut_down())
        await until(lambda: tasks._alert_delivery._stopping.is_set())
        # If shutdown blocked the event loop, this call could not happen.
        asyncio.get_running_loop().call_later(0.1, slow_webhook.go_on.set)
        await asyncio.wait_for(shutdown, 30)
        await asyncio.wait_for(delivery, 30)
        assert slow_webhook.received == 1
        with context.store.read() as tx:
            sent = tx.conn.scalar(select(func.count()).select_from(outbox).where(outbox.c.sent.is_not(None)))
        assert sent == 1
    finally:
        await asyncio.to_thread(context.decisions.close)
        context.store.close()


async def test_a_default_installation_has_no_undeliverable_alert(service: Driver) -> None:
    """The first admin is granted a role at the first start, but no alert channel is configured."""
    with service.context.store.read() as tx:
        assert tx.conn.scalar(select(func.count()).select_from(outbox)) == 0


@pytest.mark.proves("R131", "R132")
async def test_the_uses_of_an_assignment_are_written_later_and_at_the_end(service: Driver) -> None:
    context, tasks = service.context, service.server._scheduled_tasks
    eve = await service.open("eve")
    await service.command(eve, "list trainings")

    def uses() -> int | None:
        with context.store.read() as tx:
            query = (
                select(assignment_uses.c.uses)
                .join(assignments, assignments.c.id == assignment_uses.c.assignment_id)
                .where(assignments.c.identity == "user:eve")
            )
            count: int | None = tx.conn.execute(query).scalar()
        return count

    assert uses() is None, "nothing is written on the path of a decision"
    await tasks._record_due_uses()
    first = uses()
    assert first
    await service.command(eve, "list trainings")
    await tasks._record_due_uses()
    assert uses() == first, "at most one write an hour"
    await tasks._record_last_uses()
    assert uses() == first + 1


async def test_unused_access_is_counted_in_the_background(service: Driver) -> None:
    await until(lambda: service.context.state.unused_access is not None)
    summary = service.context.state.unused_access
    assert summary is not None
    assert summary.role_count == 0
