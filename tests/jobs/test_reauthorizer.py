"""One question per round about all commands that run, and an answer for each by itself."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from aizen_hub.jobs import reauthorizer as module
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.reauthorizer import Rounds
from tests.deploy.sample_core.real_core import until
from tests.jobs.raw_core import ORDER


class Bench:
    """Answers about all that it is asked, but those that it cannot decide."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.refused: dict[str, str] = {}
        self.cannot: set[str] = set()

    async def before(self, order: Order) -> str | None:
        raise AssertionError("not asked here")

    async def again(self, orders: Collection[Order]) -> Mapping[str, str | None]:
        self.asked.append({order.id for order in orders})
        return {order.id: self.refused.get(order.id) for order in orders if order.id not in self.cannot}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(module, "_UNDECIDED_SECONDS", 0.2)
    return Bench()


@pytest.fixture
async def rounds(bench: Bench) -> AsyncIterator[Rounds]:
    found = Rounds(bench)
    yield found
    await found.close()


def follow(rounds: Rounds, most: int) -> dict[str, asyncio.Task[str]]:
    orders = [dataclasses.replace(ORDER, id=f"{number:032}") for number in range(most)]
    return {order.id: asyncio.create_task(rounds.refusal(order)) for order in orders}


async def end(tasks: Collection[asyncio.Task[str]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.proves("R78", "R125", "T-08")
async def test_many_commands_ask_no_more_often_than_one(bench: Bench, rounds: Rounds) -> None:
    tasks = follow(rounds, 1_000)
    await until(lambda: len(bench.asked) >= 3)
    assert all(asked == set(tasks) for asked in bench.asked)
    one = f"{7:032}"
    bench.refused[one] = "locked"
    assert await asyncio.wait_for(tasks[one], 5) == "locked"
    before = len(bench.asked)
    await until(lambda: len(bench.asked) >= before + 2)
    assert bench.asked[-1] == set(tasks) - {one}, "what has ended is asked no more"
    assert [task.done() for number, task in tasks.items() if number != one] == [False] * 999
    await end(tasks.values())
    await until(lambda: rounds._going is None or rounds._going.done())
    asked = len(bench.asked)
    again = follow(rounds, 1)
    await until(lambda: len(bench.asked) > asked)
    await end(again.values())


@pytest.mark.proves("R79", "T-08")
async def test_what_cannot_be_decided_takes_none_of_the_others_with_it(bench: Bench, rounds: Rounds) -> None:
    tasks = follow(rounds, 3)
    bench.cannot = {f"{1:032}"}
    assert "nobody could decide" in await asyncio.wait_for(tasks[f"{1:032}"], 5)
    assert [task.done() for task in tasks.values()] == [False, True, False]
    await end(tasks.values())
