"""One flooder waits, nobody else does; tables stay bounded."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.service.auth import rate_limits as limits
from aizen_hub.service.auth.rate_limits import Buckets, Line
from tests.service.conftest import Driver


@given(
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 5), max_size=200),
)
def test_no_window_lets_more_through_than_burst_and_rate(rate: float, burst: int, gaps: list[float]) -> None:
    now = 0.0
    buckets = Buckets(rate, burst, clock=lambda: now)
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
    buckets = Buckets(1, 1, entries=entries)
    for key in keys:
        buckets.take(key)
        assert len(buckets) <= entries


@given(
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 10),
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 2), st.booleans()), max_size=100),
)
def test_to_look_is_not_to_take(rate: float, burst: int, steps: list[tuple[str, float, bool]]) -> None:
    now = 0.0
    looked_at, other = (Buckets(rate, burst, clock=lambda: now) for _ in range(2))
    for key, gap, take in steps:
        now += gap
        wait = looked_at.wait(key)
        if take:
            assert looked_at.take(key) == other.take(key) == pytest.approx(wait, abs=1e-6)


def test_the_wait_it_names_is_enough() -> None:
    now = 0.0
    buckets = Buckets(2.0, 1, clock=lambda: now)
    assert buckets.take("k") == 0
    wait = buckets.take("k")
    assert 0 < wait <= 0.5
    now += wait
    assert buckets.take("k") == 0


@pytest.fixture
def options() -> dict[str, Any]:
    return {"rate": {"requests_per_second": 0.05, "burst": 10, "in_flight_per_session": 2}}


@pytest.mark.proves("R125", "T-36")
async def test_a_flooder_is_stopped_and_nobody_else(service: Driver) -> None:
    eve, rob = await service.open("eve"), await service.open("rob")
    statuses = [(await service.call("GET", "/api/v1/me", auth=eve.auth)).status for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    refused = await service.call("GET", "/api/v1/me", auth=eve.auth)
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json["type"] == "urn:aizen:problem:too-many"
    assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
    other = await service.open("eve", server="second")
    assert (await service.call("GET", "/api/v1/me", auth=other.auth)).status == 429, (
        "a second session is no second share"
    )
    assert (await service.hub("GET", "/sessions/choices?user=eve")).status == 200


@pytest.mark.proves("R125", "R127")
@given(
    rate=st.floats(0.5, 200),
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.001, 0.1, 3.0])), max_size=60),
)
def test_however_many_join_a_line_so_many_a_second_leave_it(rate: float, steps: list[tuple[str, float]]) -> None:
    now = 0.0
    line = Line(rate, 1e9, clock=lambda: now)
    turns: dict[str, list[float]] = {"a": [], "b": []}
    for key, pause in steps:
        now += pause
        turns[key].append(now + line.join(key))
    for found in turns.values():
        assert all(later - sooner >= 1 / rate - 1e-6 for sooner, later in itertools.pairwise(found))
    assert line.join("c") == 0


@pytest.mark.proves("R127")
def test_a_line_forgets_whoever_asked_longest_ago() -> None:
    line = Line(1, 2.5, entries=2, clock=lambda: 0.0)
    assert [line.join(key) for key in "aabbcb"] == [0, 1, 0, 1, 0, 2]
    assert line.join("a") == 0
    assert [line.join("a") for _ in range(4)] == [1, 2, 2.5, 2.5]


@pytest.mark.proves("R125", "T-36")
async def test_a_flooder_is_answered_slowly_and_nobody_else(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_SECONDS", 3600)
    eve, rob = await service.open("eve"), await service.open("rob")
    assert {(await service.call("GET", "/api/v1/me", auth=eve.auth)).status for _ in range(10)} == {200}
    asked = [asyncio.create_task(service.call("GET", "/api/v1/me", auth=eve.auth)) for _ in range(40)]
    assert (await service.call("GET", "/api/v1/me", auth=rob.auth)).status == 200
    assert not any(task.done() for task in asked)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)


@pytest.mark.proves("R125")
async def test_requests_in_flight_are_bounded(service: Driver) -> None:
    eve = await service.open("eve")
    held, go = asyncio.Event(), asyncio.Event()
    court = service.house.court
    decide = court.decide

    async def slow(question: Any) -> Any:
        held.set()
        await go.wait()
        return await decide(question)

    court.decide = slow  # type: ignore[method-assign]
    body = {"permission": "read:training"}
    tasks = [asyncio.create_task(service.call("POST", "/api/v1/decisions", body, auth=eve.auth)) for _ in range(3)]
    await held.wait()
    done, _ = await asyncio.wait(tasks, timeout=2, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().status for task in done] == [429]
    go.set()
    assert sorted(task.result().status for task in (await asyncio.wait(tasks))[0]) == [200, 200, 429]
    assert service.house.limits._flying == {}
