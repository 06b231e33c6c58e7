"""Rate limits delay only the client that exceeds them; tables are bounded."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.problems import TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth import rate_limits
from aizen_hub.service.auth.principal import Principal
from aizen_hub.service.auth.rate_limits import Pacer, TokenBuckets
from aizen_hub.service.http.route import AuthMethod
from aizen_hub.store.actor import Actor, Channel
from tests.service.conftest import Driver


@given(
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 5), max_size=200),
)
def test_no_time_window_exceeds_burst_and_rate(rate: float, burst: int, gaps: list[float]) -> None:
    now = 0.0
    buckets = TokenBuckets(rate, burst, clock=lambda: now)
    passed = []
    for gap in gaps:
        now += gap
        if buckets.take("k") == 0:
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - start) * rate + 1e-6


@given(st.integers(1, 20), st.lists(st.text(max_size=3), max_size=100))
@pytest.mark.proves("R127")
def test_the_table_is_bounded(entries: int, keys: list[str]) -> None:
    buckets = TokenBuckets(1, 1, max_entries=entries)
    for key in keys:
        buckets.take(key)
        assert len(buckets) <= entries


@given(
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 10),
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 2), st.booleans()), max_size=100),
)
def test_wait_takes_no_token(rate: float, burst: int, steps: list[tuple[str, float, bool]]) -> None:
    now = 0.0
    observed, other = (TokenBuckets(rate, burst, clock=lambda: now) for _ in range(2))
    for key, gap, take in steps:
        now += gap
        wait = observed.wait(key)
        if take:
            assert observed.take(key) == other.take(key) == pytest.approx(wait, abs=1e-6)


def test_the_returned_wait_is_sufficient() -> None:
    now = 0.0
    buckets = TokenBuckets(2.0, 1, clock=lambda: now)
    assert buckets.take("k") == 0
    wait = buckets.take("k")
    assert 0 < wait <= 0.5
    now += wait
    assert buckets.take("k") == 0


@pytest.fixture
def options() -> dict[str, Any]:
    return {
        "rate": {
            "requests_per_second": 0.05,
            "burst": 10,
            "in_flight_per_session": 2,
            "in_flight_per_service_account": 4,
        }
    }


@pytest.mark.proves("R125", "T-36")
async def test_a_flood_is_refused_and_no_other_request(service: Driver) -> None:
    eve, rob = await service.open("eve"), await service.open("rob")
    statuses = [(await service.call("GET", "/api/v1/me", auth=eve.auth)).status for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    refused = await service.call("GET", "/api/v1/me", auth=eve.auth)
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json["type"] == "/services/aizen/docs/problems/too-many"
    assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
    other = await service.open("eve", server="second")
    assert (await service.call("GET", "/api/v1/me", auth=other.auth)).status == 429, (
        "a second session has no limit of its own"
    )
    assert (await service.hub("GET", "/sessions/choices?user=eve")).status == 200


@pytest.mark.proves("R125", "R127")
@given(
    rate=st.floats(0.5, 200),
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.001, 0.1, 3.0])), max_size=60),
)
def test_reservations_keep_their_distance(rate: float, steps: list[tuple[str, float]]) -> None:
    now = 0.0
    pacer = Pacer(rate, 1e9, clock=lambda: now)
    times: dict[str, list[float]] = {"a": [], "b": []}
    for key, pause in steps:
        now += pause
        times[key].append(now + pacer.reserve(key))
    for reserved in times.values():
        assert all(later - earlier >= 1 / rate - 1e-6 for earlier, later in itertools.pairwise(reserved))
    assert pacer.reserve("c") == 0


@pytest.mark.proves("R127")
def test_the_least_recently_used_key_is_dropped() -> None:
    pacer = Pacer(1, 2.5, max_entries=2, clock=lambda: 0.0)
    assert [pacer.reserve(key) for key in "aabbcb"] == [0, 1, 0, 1, 0, 2]
    assert pacer.reserve("a") == 0
    assert [pacer.reserve("a") for _ in range(4)] == [1, 2, 2.5, 2.5]


@pytest.mark.proves("R125", "T-36")
async def test_refusals_are_delayed_and_no_other_response(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MIN_REFUSAL_DELAY_SECONDS", 3600)
    eve, rob = await service.open("eve"), await service.open("rob")
    assert {(await service.call("GET", "/api/v1/me", auth=eve.auth)).status for _ in range(10)} == {200}
    tasks = [asyncio.create_task(service.call("GET", "/api/v1/me", auth=eve.auth)) for _ in range(40)]
    assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.proves("R125")
async def test_requests_in_flight_are_bounded(service: Driver) -> None:
    eve = await service.open("eve")
    started, go = asyncio.Event(), asyncio.Event()
    decisions = service.context.decisions
    decide = decisions.decide

    async def slow(request: Any) -> Any:
        started.set()
        await go.wait()
        return await decide(request)

    decisions.decide = slow  # type: ignore[method-assign]
    body = {"permission": "read:training"}
    tasks = [asyncio.create_task(service.call("POST", "/api/v1/decisions", body, auth=eve.auth)) for _ in range(3)]
    await started.wait()
    done, _ = await asyncio.wait(tasks, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().status for task in done] == [429]
    go.set()
    assert sorted(task.result().status for task in (await asyncio.wait(tasks))[0]) == [200, 200, 429]
    assert service.context.rate_limiter._in_flight == {}


@pytest.mark.proves("R125")
def test_a_service_account_has_a_limit_of_its_own(service: Driver) -> None:
    """Its requests of all connections count together, and neither against a session nor against another account."""
    limiter = service.context.rate_limiter
    robot, other = (
        Principal(AuthMethod.SERVICE_ACCOUNT, "", Actor(Identity.service_account(name), Channel.SERVICE_ACCOUNT))
        for name in ("robot", "other")
    )
    with ExitStack() as slots:
        for _ in range(4):
            slots.enter_context(limiter.admit(robot))
        with pytest.raises(TooManyRequests, match="4 requests of this service account"):
            limiter.admit(robot)
        slots.enter_context(limiter.admit(other))
    limiter.admit(robot)
    assert limiter._in_flight == {}
