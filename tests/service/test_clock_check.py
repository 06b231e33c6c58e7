"""A clock that is off mints nothing (R135)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aizen_hub.problems import Unavailable
from aizen_hub.service import clock_check as module
from aizen_hub.service.clock_check import FORGIVEN_AFTER, MOST_OFF, Clock, kernel
from tests.service.conftest import Driver
from tests.service.core.test_gateway import WithCore, audit, running, until


class Hands:
    """Clocks that a test sets: the date, and the one that nobody can set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.date, self.steady, self.kept = 1e9, 50.0, 1.0
        monkeypatch.setattr(module, "_date", lambda: self.date)
        monkeypatch.setattr(module, "_steady", lambda: self.steady)
        monkeypatch.setattr(module, "kernel", lambda: (self.kept, 0.0))

    def wait(self, seconds: float) -> None:
        self.date += seconds
        self.steady += seconds


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    return Hands(monkeypatch)


@pytest.mark.proves("R135", "T-43")
@pytest.mark.parametrize("jump", [MOST_OFF + 1, -MOST_OFF - 1, 3600, -1e9])
def test_a_jump_stops_minting_until_the_clock_is_back(hands: Hands, jump: float) -> None:
    clock = Clock(shared=False)
    hands.wait(1e6)
    clock.check()
    hands.date += jump
    assert clock.offset == pytest.approx(jump)
    with pytest.raises(Unavailable, match="jumped"):
        clock.check()
    hands.date -= jump
    clock.check()


def test_a_correction_by_ntp_is_forgiven_after_a_while(hands: Hands) -> None:
    clock = Clock(shared=False)
    hands.date += 100
    assert clock.fault is not None
    hands.kept = 0.0
    hands.wait(FORGIVEN_AFTER + 1)
    assert clock.fault is not None, "nobody keeps this clock"
    hands.kept = 1.0
    assert clock.fault is None
    assert clock.offset == 0


@pytest.mark.proves("R135")
@pytest.mark.parametrize(("off", "good"), [(0, True), (29, True), (-29, True), (31, False), (-31, False)])
def test_a_shared_store_is_the_measure(off: int, good: bool) -> None:
    clock = Clock(shared=True)
    clock.look(datetime.now(UTC) - timedelta(seconds=off))
    assert clock.offset == pytest.approx(off, abs=1)
    assert (clock.fault is None) == good


def test_the_kernel_says_something_or_nothing() -> None:
    kept, offset = kernel()
    assert kept in (0, 1) or math.isnan(kept)
    assert math.isnan(offset) or abs(offset) < 1


@pytest.mark.proves("R135")
async def test_no_road_mints_while_the_clock_is_off(service: Driver) -> None:
    session = await service.open("eve")
    service.house.clock._base -= 3600
    ready = await service.call("GET", "/readyz")
    assert (ready.status, "jumped by 3600 s" in ready.json["detail"]) == (503, True)
    assert "NTP" in ready.json["remedy"]
    body = {"user": "eve", "requester": "eve", "server": "x", "project": "p1", "credential": "0" * 64}
    opened = await service.hub("POST", "/sessions", body)
    assert (opened.status, "jumped by 3600 s" in opened.json["detail"]) == (503, True)
    assert (await service.renew(session)).status == 503
    figures = (await service.call("GET", "/metrics")).body.decode()
    assert float(figures.partition("\naizen_clock_offset_seconds ")[2].partition("\n")[0]) == pytest.approx(3600, abs=1)
    assert "\naizen_clock_ntp_offset_seconds " in figures
    service.house.clock._base += 3600
    assert (await service.renew(session)).status == 200


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WithCore]:
    found = WithCore(tmp_path)
    try:
        await asyncio.to_thread(found.start_core)
        await found.start()
        try:
            yield found
        finally:
            await found.stop()
    finally:
        await asyncio.to_thread(found.stop_core)


@pytest.mark.proves("R135", "R82", "T-43")
async def test_no_command_is_given_to_the_core_while_the_clock_is_off(world: WithCore) -> None:
    service = world.driver
    eve = await service.open("eve")
    service.house.clock._base -= 3600
    answer = await service.command(eve, "start training churn")
    assert answer.status == 503, answer.body
    assert "jumped by 3600 s" in answer.json["detail"]
    assert "set the clock right" in answer.json["remedy"]
    assert (audit(service, "intent"), audit(service, "outcome")) == ([], [])
    assert running(service) == []
    service.house.clock._base += 3600
    assert (await service.command(eve, "start training churn")).lines[-1]["state"] == "done"


@pytest.mark.proves("T-08", "R78")
async def test_a_command_is_still_stopped_while_the_clock_is_off(world: WithCore) -> None:
    service = world.driver
    eve, boss = await service.open("eve"), await service.open("boss", None)
    task = asyncio.create_task(service.command(eve, "start training slow"))
    await until(lambda: running(service) == ["training slow"])
    service.house.clock._base -= 3600
    lock = {"target": "identity", "name": "user:eve", "reason": "left"}
    assert (await service.call("POST", "/api/v1/locks", lock, auth=boss.auth)).status == 201
    last = (await asyncio.wait_for(task, 15)).lines[-1]
    assert (last["event"], last["state"]) == ("end", "stopped")
