"""Throttling of invalid credentials does not delay valid ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aizen_hub.problems import NotAuthenticated, TooManyRequests
from aizen_hub.service.auth import failed_auth_throttle
from aizen_hub.service.auth.failed_auth_throttle import MAX_FAILURES, MAX_QUEUED, FailedAuthThrottle
from tests.service.conftest import Driver

HERE, THERE = "192.0.2.7", "198.51.100.9"


async def check(
    throttle: FailedAuthThrottle, token: str, source: str = HERE, *, good: bool = False, gate: Any = None
) -> str:
    try:
        async with throttle.guard(token, source):
            if gate is not None:
                gate.checked.append(token)
                await gate.go.wait()
            if not good:
                raise NotAuthenticated("unknown")
    except NotAuthenticated:
        return "refused"
    except TooManyRequests:
        return "throttled"
    return "accepted"


class Gate:
    def __init__(self) -> None:
        self.checked: list[str] = []
        self.go = asyncio.Event()


async def flood(throttle: FailedAuthThrottle, source: str = HERE) -> None:
    for number in range(MAX_FAILURES + 20):
        assert await check(throttle, f"bad{number}", source) == "refused"


async def run_pending_tasks() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.proves("R125", "R127", "T-36")
async def test_unknown_credentials_are_queued_after_too_many_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_auth_throttle, "OVER_THRESHOLD_SECONDS", 3600.0)
    throttle, gate = FailedAuthThrottle(5.0, [].append), Gate()
    assert await check(throttle, "known", good=True) == "accepted"
    await flood(throttle)
    waiting = [asyncio.create_task(check(throttle, f"x{number}", gate=gate)) for number in range(MAX_QUEUED)]
    await run_pending_tasks()
    assert gate.checked == ["x0"], "one at a time"
    assert await check(throttle, "one more") == "throttled"
    assert await check(throttle, "known", good=True) == "accepted", "a credential that was valid before is not queued"
    assert await check(throttle, "new", THERE, good=True) == "accepted", "nor is one from another network"
    gate.go.set()
    assert await asyncio.gather(*waiting) == ["refused"] * MAX_QUEUED
    assert await check(throttle, "new here", good=True) == "accepted", "a valid one passes the queue"
    assert throttle._queues == {}


async def test_a_credential_that_becomes_invalid_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_auth_throttle, "OVER_THRESHOLD_SECONDS", 3600.0)
    throttle, gate = FailedAuthThrottle(5.0, [].append), Gate()
    assert await check(throttle, "known", good=True) == "accepted"
    assert await check(throttle, "known") == "refused"
    await flood(throttle)
    tasks = [asyncio.create_task(check(throttle, token, gate=gate)) for token in ("x", "known")]
    await run_pending_tasks()
    assert gate.checked == ["x"]
    gate.go.set()
    assert await asyncio.gather(*tasks) == ["refused", "refused"]


@pytest.mark.proves("R125", "T-46")
async def test_failures_on_another_network_do_not_delay_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential bound to networks fails elsewhere and is valid here."""
    monkeypatch.setattr(failed_auth_throttle, "OVER_THRESHOLD_SECONDS", 3600.0)
    throttle, gate = FailedAuthThrottle(5.0, [].append), Gate()
    assert await check(throttle, "known", good=True) == "accepted"
    assert await check(throttle, "known", THERE) == "refused"
    await flood(throttle)
    waiting = asyncio.create_task(check(throttle, "x", gate=gate))
    await run_pending_tasks()
    assert await check(throttle, "known", good=True) == "accepted"
    gate.go.set()
    assert await waiting == "refused"


@pytest.mark.proves("R127")
async def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_auth_throttle, "MAX_KNOWN_GOOD", 3)
    monkeypatch.setattr(failed_auth_throttle, "_MAX_NETWORKS", 3)
    monkeypatch.setattr(failed_auth_throttle, "MAX_FAILURES", 1)
    monkeypatch.setattr(failed_auth_throttle, "FAILURES_PER_SECOND", 1e-6)
    throttle = FailedAuthThrottle(5.0, [].append)
    for number in range(9):
        await check(throttle, f"good{number}", good=True)
        for _ in range(3):
            await check(throttle, "bad", f"192.0.2.{number}")
    assert (len(throttle._known_good), len(throttle._over_threshold)) == (3, 3)


@pytest.mark.proves("R125", "T-36")
async def test_a_flood_of_invalid_credentials_causes_one_query_at_a_time(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_auth_throttle, "OVER_THRESHOLD_SECONDS", 3600.0)
    robot = f"Bearer {service.robot}"  # type: ignore[attr-defined]
    rob = await service.open("rob")
    assert (await service.call("GET", "/api/v1/me", auth=robot)).status == 200
    for number in range(MAX_FAILURES + 5):
        assert (await service.call("GET", "/api/v1/me", auth=f"Bearer bad{number}")).status == 401
    queries, go, find_credential = [], asyncio.Event(), service.context.authenticator.service_accounts.find_credential

    async def slow(token: str) -> Any:
        if token.startswith("bad"):
            queries.append(token)
            await go.wait()
        return await find_credential(token)

    monkeypatch.setattr(service.context.authenticator.service_accounts, "find_credential", slow)
    flood = [asyncio.create_task(service.call("GET", "/api/v1/me", auth=f"Bearer bad-{n}")) for n in range(40)]
    done, _ = await asyncio.wait(flood, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status for task in done} == {429}
    assert len(queries) == 1
    assert (await service.call("GET", "/api/v1/me", auth=robot)).status == 200
    assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
    assert (await service.hub("GET", "/sessions/choices?user=eve")).status == 200
    go.set()
    statuses = [response.status for response in await asyncio.gather(*flood)]
    assert sorted(set(statuses)) == [401, 429]
