"""What the doctor says of a service that runs: sealed or not, and what helps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.audit.checkpoints import health as sink
from aizen_hub.cli.doctor import service as doctor
from aizen_hub.cli.doctor.finding import Finding
from tests.service.conftest import Driver
from tests.service.core.test_gateway import until


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "apart").mkdir()
    return {"checkpoint_file": tmp_path / "apart" / "checkpoints"}


async def look(service: Driver) -> list[Finding]:
    settings = service.house.settings
    there = settings.service.model_copy(update={"port": service.server.port})
    return await asyncio.to_thread(lambda: list(doctor.look(settings.model_copy(update={"service": there}))))


@pytest.mark.proves("R7", "R96")
async def test_it_says_why_a_service_is_sealed_and_what_helps(
    service: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = service.house
    await until(lambda: not house.sink.failing)
    assert {one.level for one in await look(service)} == {"ok"}
    (tmp_path / "apart").rename(tmp_path / "unmounted")
    await service.open("eve")  # something that has to be signed
    now = sink._now
    monkeypatch.setattr(sink, "_now", lambda: now() + 100)
    await until(lambda: house.sink.failing, 15)
    late = [one for one in await look(service) if one.level == "fail"]
    assert ["was last signed 1" in one.what for one in late] == [True]
    monkeypatch.setattr(sink, "_now", lambda: now() + 10_000)
    await until(lambda: house.sealed is not None)
    (sealed,) = await look(service)
    assert sealed.level == "fail"
    assert "no such file" in sealed.what
    assert "`checkpoint_file`" in sealed.remedy


async def test_a_wrong_clock_is_a_warning_with_its_remedy(service: Driver) -> None:
    service.house.clock._base -= 3600
    (one,) = await look(service)
    assert (one.level, "jumped by 3600 s" in one.what) == ("warn", True)
    assert "NTP" in one.remedy
