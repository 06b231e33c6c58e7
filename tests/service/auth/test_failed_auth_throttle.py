"""Refused credentials cost little, and whoever sends them shuts nobody out who has a good one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aizen_hub.problems import NotAuthenticated, TooMany
from aizen_hub.service.auth import failed_auth_throttle as module
from aizen_hub.service.auth.failed_auth_throttle import FAILURES, MOST_WAITING, Doubts
from tests.service.conftest import Driver

HERE, THERE = "192.0.2.7", "198.51.100.9"


async def look(doubts: Doubts, token: str, source: str = HERE, *, good: bool = False, gate: Any = None) -> str:
    try:
        async with doubts.looking_at(token, source):
            if gate is not None:
                gate.looked.append(token)
                await gate.go.wait()
            if not good:
                raise NotAuthenticated("unknown")
    except NotAuthenticated:
        return "refused"
    except TooMany:
        return "turned away"
    return "let in"


class Gate:
    def __init__(self) -> None:
        self.looked: list[str] = []
        self.go = asyncio.Event()


async def flood(doubts: Doubts, source: str = HERE) -> None:
    for number in range(FAILURES + 20):
        assert await look(doubts, f"bad{number}", source) == "refused"


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.proves("R125", "R127", "T-36")
async def test_after_too_many_bad_ones_the_unproven_of_a_place_stand_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWDED_SECONDS", 3600.0)
    doubts, gate = Doubts(5.0, [].append), Gate()
    assert await look(doubts, "known", good=True) == "let in"
    await flood(doubts)
    waiting = [asyncio.create_task(look(doubts, f"x{number}", gate=gate)) for number in range(MOST_WAITING)]
    await settled()
    assert gate.looked == ["x0"], "one at a time"
    assert await look(doubts, "one more") == "turned away"
    assert await look(doubts, "known", good=True) == "let in", "whoever was let in before does not wait"
    assert await look(doubts, "new", THERE, good=True) == "let in", "nor does anybody elsewhere"
    gate.go.set()
    assert await asyncio.gather(*waiting) == ["refused"] * MOST_WAITING
    assert await look(doubts, "new here", good=True) == "let in", "a good one comes through the line"
    assert doubts._lines == {}


async def test_a_credential_that_is_good_no_longer_is_remembered_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWDED_SECONDS", 3600.0)
    doubts, gate = Doubts(5.0, [].append), Gate()
    assert await look(doubts, "known", good=True) == "let in"
    assert await look(doubts, "known") == "refused"
    await flood(doubts)
    tasks = [asyncio.create_task(look(doubts, one, gate=gate)) for one in ("x", "known")]
    await settled()
    assert gate.looked == ["x"]
    gate.go.set()
    assert await asyncio.gather(*tasks) == ["refused", "refused"]


@pytest.mark.proves("R125", "T-46")
async def test_a_thief_elsewhere_does_not_put_the_owner_into_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential may be good from its own networks only, so that it fails there and is good here."""
    monkeypatch.setattr(module, "CROWDED_SECONDS", 3600.0)
    doubts, gate = Doubts(5.0, [].append), Gate()
    assert await look(doubts, "known", good=True) == "let in"
    assert await look(doubts, "known", THERE) == "refused"
    await flood(doubts)
    waiting = asyncio.create_task(look(doubts, "x", gate=gate))
    await settled()
    assert await look(doubts, "known", good=True) == "let in"
    gate.go.set()
    assert await waiting == "refused"


@pytest.mark.proves("R127")
async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PROVEN", 3)
    monkeypatch.setattr(module, "_MAX_PLACES", 3)
    monkeypatch.setattr(module, "FAILURES", 1)
    monkeypatch.setattr(module, "PER_SECOND", 1e-6)
    doubts = Doubts(5.0, [].append)
    for number in range(9):
        await look(doubts, f"good{number}", good=True)
        for _ in range(3):
            await look(doubts, "bad", f"192.0.2.{number}")
    assert (len(doubts._proven), len(doubts._crowded)) == (3, 3)


@pytest.mark.proves("R125", "T-36")
async def test_a_flood_of_bad_credentials_leaves_one_question_to_the_store(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CROWDED_SECONDS", 3600.0)
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    rob = await service.open("rob")
    assert (await service.call("GET", "/api/v1/me", auth=robot)).status == 200
    for number in range(FAILURES + 5):
        assert (await service.call("GET", "/api/v1/me", auth=f"Bearer bad{number}")).status == 401
    asked, go, ask = [], asyncio.Event(), service.house.service_account_of

    async def slow(token: str) -> Any:
        if token.startswith("bad"):
            asked.append(token)
            await go.wait()
        return await ask(token)

    monkeypatch.setattr(service.house, "service_account_of", slow)
    flood = [asyncio.create_task(service.call("GET", "/api/v1/me", auth=f"Bearer bad-{n}")) for n in range(40)]
    done, _ = await asyncio.wait(flood, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status for task in done} == {429}
    assert len(asked) == 1
    assert (await service.call("GET", "/api/v1/me", auth=robot)).status == 200
    assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
    assert (await service.hub("GET", "/sessions/choices?user=eve")).status == 200
    go.set()
    statuses = [answer.status for answer in await asyncio.gather(*flood)]
    assert sorted(set(statuses)) == [401, 429]
