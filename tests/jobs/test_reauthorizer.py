"""One re-authorization request for all running commands, and an answer for each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from aizen_hub.jobs import reauthorizer as reauthorizer_module
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.reauthorizer import Reauthorizer
from tests.fixtures.timing import FakeClock, until
from tests.jobs.raw_core import ORDER

CLOCK = FakeClock()


class FakeAuthorizer:
    """Decides all commands except those in ``undecidable``."""

    def __init__(self) -> None:
        self.requests: list[set[str]] = []
        self.denials: dict[str, str] = {}
        self.undecidable: set[str] = set()

    async def authorize_start(self, command: CoreCommand) -> str | None:
        raise AssertionError("not used here")

    async def reauthorize(self, commands: Collection[CoreCommand]) -> Mapping[str, str | None]:
        self.requests.append({command.id for command in commands})
        return {command.id: self.denials.get(command.id) for command in commands if command.id not in self.undecidable}


@pytest.fixture
def authorizer(monkeypatch: pytest.MonkeyPatch) -> FakeAuthorizer:
    monkeypatch.setattr(reauthorizer_module, "_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(reauthorizer_module, "boottime", CLOCK)
    return FakeAuthorizer()


@pytest.fixture
async def reauthorizer(authorizer: FakeAuthorizer) -> AsyncIterator[Reauthorizer]:
    reauthorizer = Reauthorizer(authorizer)
    yield reauthorizer
    await reauthorizer.close()


def follow(reauthorizer: Reauthorizer, count: int) -> dict[str, asyncio.Task[str]]:
    commands = [dataclasses.replace(ORDER, id=f"{number:032}") for number in range(count)]
    return {command.id: asyncio.create_task(reauthorizer.wait_for_denial(command)) for command in commands}


async def end(tasks: Collection[asyncio.Task[str]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.proves("R78", "R125", "T-08")
async def test_many_commands_cause_no_more_requests_than_one(
    authorizer: FakeAuthorizer, reauthorizer: Reauthorizer
) -> None:
    tasks = follow(reauthorizer, 1_000)
    await until(lambda: len(authorizer.requests) >= 3)
    assert all(request == set(tasks) for request in authorizer.requests)
    denied_id = f"{7:032}"
    authorizer.denials[denied_id] = "locked"
    assert await asyncio.wait_for(tasks[denied_id], 30) == "locked"
    before = len(authorizer.requests)
    await until(lambda: len(authorizer.requests) >= before + 2)
    assert authorizer.requests[-1] == set(tasks) - {denied_id}, "an ended command is not decided again"
    assert [task.done() for command_id, task in tasks.items() if command_id != denied_id] == [False] * 999
    await end(tasks.values())
    await until(lambda: reauthorizer._task is None or reauthorizer._task.done())
    count = len(authorizer.requests)
    restarted = follow(reauthorizer, 1)
    await until(lambda: len(authorizer.requests) > count)
    await end(restarted.values())


@pytest.mark.proves("R79", "T-08")
async def test_an_undecidable_command_does_not_affect_the_others(
    authorizer: FakeAuthorizer, reauthorizer: Reauthorizer
) -> None:
    tasks = follow(reauthorizer, 3)
    authorizer.undecidable = {f"{1:032}"}
    for _ in range(2):
        before = len(authorizer.requests)
        await until(lambda before=before: len(authorizer.requests) >= before + 2)  # type: ignore[misc]
        assert not any(task.done() for task in tasks.values())
        CLOCK.advance(9)
    assert "could not be decided" in await asyncio.wait_for(tasks[f"{1:032}"], 30)
    assert [task.done() for task in tasks.values()] == [False, True, False]
    await end(tasks.values())
