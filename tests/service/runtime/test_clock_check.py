"""No token is issued with a wrong clock (R135)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aizen_hub.problems import Unavailable
from aizen_hub.service.runtime import clock_check
from aizen_hub.service.runtime.clock_check import (
    FORGIVE_AFTER_SECONDS,
    MAX_OFFSET_SECONDS,
    ClockCheck,
    kernel_ntp_status,
)
from tests.fixtures.timing import until
from tests.service.conftest import Driver
from tests.service.core.test_gateway import ServiceWithCore, audit, running


class FakeClocks:
    """Clocks that a test sets: the date, and the boot clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.date, self.boot, self.synchronised = 1e9, 50.0, 1.0
        monkeypatch.setattr(clock_check, "_wall_clock", lambda: self.date)
        monkeypatch.setattr(clock_check, "_boot_clock", lambda: self.boot)
        monkeypatch.setattr(clock_check, "kernel_ntp_status", lambda: (self.synchronised, 0.0))

    def wait(self, seconds: float) -> None:
        self.date += seconds
        self.boot += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> FakeClocks:
    return FakeClocks(monkeypatch)


@pytest.mark.proves("R135", "T-43")
@pytest.mark.parametrize("jump", [MAX_OFFSET_SECONDS + 1, -MAX_OFFSET_SECONDS - 1, 3600, -1e9])
def test_a_jump_stops_token_issue_until_the_clock_is_corrected(clocks: FakeClocks, jump: float) -> None:
    clock = ClockCheck(shared=False)
    clocks.wait(1e6)
    clock.check()
    clocks.date += jump
    assert clock.offset == pytest.approx(jump)
    with pytest.raises(Unavailable, match="jumped"):
        clock.check()
    clocks.date -= jump
    clock.check()


def test_a_correction_by_ntp_is_accepted_after_a_while(clocks: FakeClocks) -> None:
    clock = ClockCheck(shared=False)
    clocks.date += 100
    assert clock.fault is not None
    clocks.synchronised = 0.0
    clocks.wait(FORGIVE_AFTER_SECONDS + 1)
    assert clock.fault is not None, "NTP does not synchronise this clock"
    clocks.synchronised = 1.0
    assert clock.fault is None
    assert clock.offset == 0


@pytest.mark.proves("R135")
@pytest.mark.parametrize(("off", "good"), [(0, True), (29, True), (-29, True), (31, False), (-31, False)])
def test_the_clock_of_a_shared_store_is_the_reference(off: int, good: bool) -> None:
    clock = ClockCheck(shared=True)
    clock.compare_with_store(datetime.now(UTC) - timedelta(seconds=off))
    assert clock.offset == pytest.approx(off, abs=1)
    assert (clock.fault is None) == good


def test_the_kernel_reports_a_state_or_nan() -> None:
    synchronised, offset = kernel_ntp_status()
    assert synchronised in (0, 1) or math.isnan(synchronised)
    assert math.isnan(offset) or abs(offset) < 1


@pytest.mark.proves("R135")
async def test_no_endpoint_issues_tokens_while_the_clock_is_wrong(service: Driver) -> None:
    session = await service.open("eve")
    service.context.clock._base -= 3600
    ready = await service.call("GET", "/readyz")
    assert (ready.status, "jumped by 3600 s" in ready.json["detail"]) == (503, True)
    assert "NTP" in ready.json["remedy"]
    body = {"user": "eve", "requester": "eve", "server": "x", "project": "p1", "credential": "0" * 64}
    opened = await service.hub("POST", "/sessions", body)
    assert (opened.status, "jumped by 3600 s" in opened.json["detail"]) == (503, True)
    assert (await service.renew(session)).status == 503
    metrics = (await service.call("GET", "/metrics")).body.decode()
    assert float(metrics.partition("\naizen_clock_offset_seconds ")[2].partition("\n")[0]) == pytest.approx(3600, abs=1)
    assert "\naizen_clock_ntp_offset_seconds " in metrics
    service.context.clock._base += 3600
    assert (await service.renew(session)).status == 200


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ServiceWithCore]:
    started = ServiceWithCore(tmp_path)
    try:
        await asyncio.to_thread(started.start_core)
        await started.start()
        try:
            yield started
        finally:
            await started.stop()
    finally:
        await asyncio.to_thread(started.stop_core)


@pytest.mark.proves("R135", "R82", "T-43")
async def test_no_command_is_sent_to_the_core_while_the_clock_is_wrong(world: ServiceWithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    service.context.clock._base -= 3600
    answer = await service.command(eve, "start training churn")
    assert answer.status == 503, answer.body
    assert "jumped by 3600 s" in answer.json["detail"]
    assert "correct the clock" in answer.json["remedy"]
    assert (audit(service, "intent"), audit(service, "outcome")) == ([], [])
    assert running(service) == []
    service.context.clock._base += 3600
    assert (await service.command(eve, "start training churn")).lines[-1]["state"] == "done"


@pytest.mark.proves("T-08", "R78")
async def test_a_command_is_still_stopped_while_the_clock_is_wrong(world: ServiceWithCore) -> None:
    service = world.driver
    eve, boss = await service.open("eve"), await service.open("boss", None)
    task = asyncio.create_task(service.command(eve, "start training slow"))
    commands = service.context.core.runner._running
    # The core has accepted it: before that, a wrong clock refuses the command.
    await until(lambda: any("progress" in command.to_json() for command in commands.values()))
    service.context.clock._base -= 3600
    lock = {"target": "identity", "name": "user:eve", "reason": "left"}
    assert (await service.call("POST", "/api/v1/locks", lock, auth=boss.auth)).status == 201
    last = (await asyncio.wait_for(task, 15)).lines[-1]
    assert (last["event"], last["state"]) == ("end", "stopped")
