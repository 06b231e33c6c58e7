"""The runner: intent recorded before the first byte, re-authorization while running, outcome recorded after."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

import pytest

from aizen_hub.jobs import follower, reauthorizer
from aizen_hub.jobs import runner as runner_module
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CommandState, CoreEvent
from aizen_hub.jobs.runner import Runner
from aizen_hub.problems import CoreFailed, Denied, LimitReached, Problem, TooManyRequests, Unavailable
from tests.deploy.sample_core.real_core import Core, children, make_command
from tests.fixtures.timing import FakeClock, until
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, ORDER, RawCore, line, raw_core, says

CLOCK = FakeClock()
"""The age of decisions: it advances only where a test says so, however slow the machine is."""


class RecordingLog:
    """An in-memory command log that records the order of calls, together with those of the core."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.released: list[str] = []
        self.ends: list[tuple[str, CommandState | None, str]] = []
        self.unknown_to_core: list[str] = []
        self.in_flight: set[str] = set()
        self.error: Exception | None = None
        self.failures = 0
        self.finish_error: Exception = Unavailable("the disk is full")
        self.delay = 0.0
        self.on_start: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def start(self, command: CoreCommand) -> None:
        self.in_flight.add(command.id)
        time.sleep(self.delay)
        self.on_start()
        self.calls.append("start")
        if self.error is not None:
            raise self.error

    def finish(self, command: CoreCommand, end: CoreEvent) -> None:
        with self._lock:
            if self.failures:
                self.failures -= 1
                raise self.finish_error
            self.calls.append("finish")
            self.ends.append((command.id, end.state, end.message))
            if end.unknown_to_core:
                self.unknown_to_core.append(command.id)

    def release(self, commands: Collection[CoreCommand]) -> None:
        self.released += [command.id for command in commands]

    def drop(self, command: CoreCommand) -> None:
        self.in_flight.discard(command.id)


class FakeAuthorizer:
    """Allows every command until ``denial`` is set."""

    def __init__(self) -> None:
        self.denial: str | None = None
        self.error: Exception | None = None
        self.delay = 0.0
        self.calls = 0
        self.accepted: list[bool] = []

    async def authorize_start(self, command: CoreCommand) -> str | None:
        return await self._answer(accepted=False)

    async def reauthorize(self, commands: Collection[CoreCommand]) -> Mapping[str, str | None]:
        return dict.fromkeys((command.id for command in commands), await self._answer(accepted=True))

    async def _answer(self, *, accepted: bool) -> str | None:
        self.calls += 1
        self.accepted.append(accepted)
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return self.denial


@pytest.fixture
def log() -> RecordingLog:
    return RecordingLog()


@pytest.fixture
def authorizer() -> FakeAuthorizer:
    return FakeAuthorizer()


Make = Callable[..., Runner]


@pytest.fixture(autouse=True)
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for target in (runner_module, reauthorizer):
        monkeypatch.setattr(target, "boottime", CLOCK)


@pytest.fixture
async def make(log: RecordingLog, authorizer: FakeAuthorizer) -> AsyncIterator[Make]:
    runners: list[Runner] = []

    def build(client: CoreClient | None, **more: Any) -> Runner:
        runners.append(Runner(client, log, authorizer, **more))
        return runners[-1]

    yield build
    for runner in runners:
        await runner.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reauthorizer, "_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(reauthorizer, "_MIN_PAUSE_SECONDS", 0.01)
    for target in (runner_module, reauthorizer):
        monkeypatch.setattr(target, "_DECISION_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(follower, "_REATTACH_PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(follower, "_CANCEL_PAUSES", (0.0, 0.01))
    monkeypatch.setattr(runner_module, "_RECORD_PAUSES", (0.0, 0.01, 0.01))


async def events_of(runner: Runner, command: CoreCommand = ORDER) -> list[dict[str, Any]]:
    return [event async for event in runner.run(command, decided_at=CLOCK())]


@pytest.mark.proves("R93")
async def test_the_intent_is_recorded_before_the_first_byte_and_the_outcome_before_the_answer(
    make: Make, log: RecordingLog
) -> None:
    async with raw_core(says(HEAD, ACCEPTED, line("progress", fraction=0.5), DONE)) as core:
        core.calls = log.calls
        runner = make(core.client())
        async for event in runner.run(ORDER, decided_at=CLOCK()):
            log.calls.append(event["event"])
    assert log.calls == ["start", "POST", "progress", "finish", "end"]
    assert log.ends == [(ORDER.id, CommandState.DONE, "")]


@pytest.mark.proves("R93")
async def test_a_command_that_cannot_be_recorded_never_reaches_the_core(make: Make, log: RecordingLog) -> None:
    log.error = LimitReached("3 jobs run already")
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        with pytest.raises(LimitReached):
            await events_of(make(core.client()))
        assert core.requests == []
    assert log.ends == [], "it never began, so it has no outcome"


@pytest.mark.proves("R81")
async def test_an_outdated_decision_is_made_again(make: Make, log: RecordingLog, authorizer: FakeAuthorizer) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        await runner.start(ORDER, decided_at=CLOCK())
        assert authorizer.calls == 0
        await runner.start(dataclasses.replace(ORDER, id="1" * 32), decided_at=CLOCK() - 1)
        assert authorizer.calls == 1
        authorizer.denial = "the role was revoked"
        with pytest.raises(Denied, match="the role was revoked"):
            await runner.start(dataclasses.replace(ORDER, id="2" * 32), decided_at=CLOCK() - 1)
        assert len(core.requests) == 2


async def test_a_slow_command_log_makes_the_decision_outdated(
    make: Make, log: RecordingLog, authorizer: FakeAuthorizer
) -> None:
    def lock_meanwhile() -> None:
        CLOCK.advance(0.3)
        authorizer.denial = "locked meanwhile"

    log.on_start = lock_meanwhile
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        with pytest.raises(Denied):
            await events_of(make(core.client()))
        assert core.requests == []
    assert [state for _, state, _ in log.ends] == [CommandState.FAILED], "its intent was recorded, so its outcome is"


async def test_without_a_core_a_command_fails(make: Make, log: RecordingLog) -> None:
    with pytest.raises(CoreFailed, match="allowed, but no core is configured"):
        await events_of(make(None))
    assert log.calls == []


async def test_a_core_that_is_down_is_an_outcome(make: Make, log: RecordingLog) -> None:
    with pytest.raises(CoreFailed, match="cannot be reached"):
        await events_of(make(RawCore("http://127.0.0.1:1").client()))
    assert [state for _, state, _ in log.ends] == [CommandState.FAILED]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", CommandState.FAILED),
        (b"HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", CommandState.FAILED),
        (b"", CommandState.UNKNOWN),
        (HEAD + b"garbage\n", CommandState.UNKNOWN),
    ],
    ids=["refused", "redirect", "lost", "invalid"],
)
async def test_the_outcome_of_a_failed_start_is_recorded_as_far_as_it_is_known(
    make: Make, log: RecordingLog, said: bytes, state: CommandState
) -> None:
    async with raw_core(says(said)) as core:
        with pytest.raises(CoreFailed):
            await events_of(make(core.client()))
    assert [recorded for _, recorded, _ in log.ends] == [state]


@pytest.mark.usefixtures("quick")
async def test_a_lost_stream_is_reattached(make: Make, log: RecordingLog) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + ACCEPTED + line("progress", fraction=0.1 * len(core.requests)))
        if len(core.requests) == 3:
            writer.write(DONE)
        await writer.drain()

    async with raw_core(talk) as core:
        events = await events_of(make(core.client()))
        get = f"GET /commands/{ORDER.id}"
        assert core.requests == ["POST /commands", get, get], "a command is never sent twice"
    assert events[-1]["state"] == "done"
    assert [event["fraction"] for event in events[:-1]] == pytest.approx([0.1, 0.2, 0.3])
    assert len(log.ends) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("new", [True, False], ids=["progresses", "repeats itself"])
async def test_a_stream_may_break_any_number_of_times_while_the_command_progresses(
    make: Make, log: RecordingLog, new: bool
) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        number = len(core.requests)
        writer.write(HEAD + ACCEPTED + line("progress", fraction=0.01 * (number - 1)))
        if new:
            writer.write(line("progress", fraction=0.01 * number))
        if number == 12:
            writer.write(DONE)
        await writer.drain()

    def repeats(core: RawCore, request: str, writer: asyncio.StreamWriter) -> Any:
        writer.write(HEAD + ACCEPTED + line("progress", fraction=0.5))
        return writer.drain()

    async with raw_core(talk if new else repeats) as core:
        events = await events_of(make(core.client(), total_seconds=20))
        assert len(core.requests) == (12 if new else 4)
    assert events[-1]["state"] == ("done" if new else "unknown")
    assert len(log.ends) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("later", [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"", HEAD + b"garbage\n"])
async def test_an_end_that_is_never_reported_is_unknown(make: Make, log: RecordingLog, later: bytes) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + ACCEPTED if request.startswith("POST") else later)
        await writer.drain()

    async with raw_core(talk) as core:
        events = await events_of(make(core.client()))
        assert len(core.requests) <= 4
    assert events[-1]["state"] == "unknown"
    assert [state for _, state, _ in log.ends] == [CommandState.UNKNOWN]
    assert log.unknown_to_core == ([ORDER.id] if b"404" in later else []), (
        "only a core that does not know it proves that"
    )


@pytest.mark.usefixtures("quick")
async def test_a_command_unknown_to_the_core_need_not_be_stopped(
    make: Make, log: RecordingLog, authorizer: FakeAuthorizer
) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("POST"):
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            await asyncio.sleep(60)
        writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")

    authorizer.denial = "locked"
    async with raw_core(talk) as core:
        assert (await events_of(make(core.client(idle=30))))[-1]["state"] == "unknown"
    assert log.unknown_to_core == [ORDER.id]


@pytest.mark.usefixtures("quick")
async def test_a_command_is_not_followed_forever(make: Make, log: RecordingLog) -> None:
    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        events = await events_of(make(core.client(idle=30), total_seconds=0.2))
    assert events[-1]["state"] == "unknown"
    assert "may still be running" in events[-1]["message"]


@pytest.mark.usefixtures("quick")
@pytest.mark.proves("R78")
async def test_a_user_who_loses_the_right_loses_the_job(
    core: Core, make: Make, log: RecordingLog, authorizer: FakeAuthorizer
) -> None:
    runner = make(core.client)
    running = await runner.start(make_command("start training slow"), decided_at=CLOCK())
    await until(lambda: authorizer.calls > 3)
    assert len(children(core.process.pid)) == 1
    authorizer.denial = "alice is locked"
    events = [event async for event in running.events()]
    assert events[-1]["state"] == "stopped"
    assert "alice is locked" in events[-1]["message"]
    assert children(core.process.pid) == set()
    assert [(state, message) for _, state, message in log.ends] == [
        (CommandState.STOPPED, "not allowed any longer: alice is locked")
    ]


@pytest.mark.usefixtures("quick")
async def test_a_failed_cancellation_is_reported(make: Make, authorizer: FakeAuthorizer) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("POST"):
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            await asyncio.sleep(60)
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    authorizer.denial = "locked"
    async with raw_core(talk) as core:
        events = await events_of(make(core.client(idle=30)))
        assert [request.partition(" ")[0] for request in core.requests] == ["POST", "DELETE", "DELETE"]
    assert events[-1]["state"] == "unknown"
    assert "did not stop it" in events[-1]["message"]


@pytest.mark.usefixtures("quick")
async def test_a_short_outage_of_the_store_stops_no_job_but_a_long_one_does(
    core: Core, make: Make, authorizer: FakeAuthorizer
) -> None:
    running = await make(core.client).start(make_command("start training slow"), decided_at=CLOCK())
    authorizer.error = Unavailable("the store is away")
    await until(lambda: authorizer.calls >= 3)
    authorizer.error = None
    await until(lambda: authorizer.calls >= 20)
    assert running.state == "running"
    authorizer.error = Unavailable("the store is away")
    CLOCK.advance(11)
    *_, end = [event async for event in running.events()]
    assert end["state"] == "stopped"


@pytest.mark.usefixtures("quick")
@pytest.mark.proves("R79", "T-08")
@pytest.mark.parametrize(
    ("problem", "slow"), [(Unavailable("away"), 0.0), (RuntimeError("an internal error"), 0.0), (None, 60.0)],
    ids=["unavailable", "broken", "hanging"],
)  # fmt: skip
async def test_a_command_that_cannot_be_decided_any_more_is_stopped(
    core: Core, make: Make, authorizer: FakeAuthorizer, log: RecordingLog, problem: Exception | None, slow: float
) -> None:
    """Whatever prevents the decision, a command does not continue without one."""
    running = await make(core.client).start(make_command("start training slow"), decided_at=CLOCK())
    authorizer.error, authorizer.delay = problem, slow
    CLOCK.advance(11)
    *_, end = [event async for event in running.events()]
    assert end["state"] == "stopped"
    assert "could not be decided" in end["message"]
    assert children(core.process.pid) == set()
    assert [state for _, state, _ in log.ends] == [CommandState.STOPPED]


@pytest.mark.usefixtures("quick")
async def test_an_internal_error_leaves_no_reader_waiting(
    make: Make, log: RecordingLog, authorizer: FakeAuthorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        log.error = RuntimeError("a bug")
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(events_of(make(core.client())), 30)
        await until(lambda: log.ends)  # the intent may be recorded: the log looks it up
        log.error, runner = None, make(core.client())
        log.ends.clear()
        running = await runner.start(dataclasses.replace(ORDER, id="1" * 32), decided_at=CLOCK())
        authorizer.denial = "locked"
        monkeypatch.setattr(runner_module, "stop_command", _broken)
        events = [event async for event in running.events()]
    assert events[-1]["state"] == "unknown"
    assert [state for _, state, _ in log.ends] == [CommandState.UNKNOWN]
    assert runner._running == {}


async def _broken(*_: object) -> Any:
    raise RuntimeError("a bug")


async def test_a_reader_that_disconnects_leaves_the_job_running(core: Core, make: Make, log: RecordingLog) -> None:
    runner = make(core.client)
    command = make_command("start training churn")
    async for event in runner.run(command, decided_at=CLOCK()):
        if event["event"] == "progress":
            break
    await until(lambda: log.ends)
    assert log.ends == [(command.id, CommandState.DONE, "training `churn` is done")]
    running = runner.find(command.id)
    assert running is not None
    assert running.to_json()["state"] == "done"
    late = [event["event"] async for event in running.events()]
    assert late == ["log"] * (len(late) - 1) + ["end"], "a late reader gets the latest lines and the end"


async def test_a_caller_that_disconnects_during_the_start_interrupts_nothing(make: Make, log: RecordingLog) -> None:
    async with raw_core(says(0.2, HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        caller = asyncio.create_task(runner.start(ORDER, decided_at=CLOCK()))
        await until(lambda: core.requests)
        caller.cancel()
        await until(lambda: log.ends)
    assert log.calls == ["start", "finish"]
    await until(lambda: not log.in_flight)


async def test_a_caller_that_disconnects_before_a_refusal_leaves_nothing_behind(make: Make, log: RecordingLog) -> None:
    log.delay, log.error = 0.2, LimitReached("3 jobs run already")
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        caller = asyncio.create_task(runner.start(ORDER, decided_at=CLOCK()))
        await until(lambda: log.in_flight)
        caller.cancel()
        await until(lambda: not runner.running)
        assert (log.calls, log.in_flight, core.requests) == (["start"], set(), [])


async def test_all_readers_see_the_same_end(core: Core, make: Make) -> None:
    running = await make(core.client).start(make_command("start dataset churn"), decided_at=CLOCK())

    async def read() -> list[dict[str, Any]]:
        return [event async for event in running.events()]

    first, second = await asyncio.gather(read(), read())
    assert first[-1] == second[-1]
    assert first[-1]["state"] == "done"


@pytest.mark.usefixtures("quick")
@pytest.mark.proves("R93")
async def test_an_outcome_that_cannot_be_recorded_is_not_published(make: Make, log: RecordingLog) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        log.failures = 1
        assert (await events_of(runner))[-1]["state"] == "done"
        log.failures = 100
        for number, fault in enumerate((log.finish_error, OSError("no space left")), 1):
            log.finish_error = fault
            end = (await events_of(runner, dataclasses.replace(ORDER, id=str(number) * 32)))[-1]
            assert (end["state"], end["result"]) == ("unknown", None)
            assert "could not be recorded" in end["message"]


async def test_a_restarted_service_follows_its_jobs_again(core: Core, make: Make, log: RecordingLog) -> None:
    what = make_command("configure training long epochs=60 pause=0.05")
    await events_of(make(core.client), what)
    log.ends.clear()
    what = make_command("start training long")
    first = make(core.client)
    running = await first.start(what, decided_at=CLOCK())
    reader = asyncio.create_task(_all(running.events()))
    await until(lambda: running._readers)
    await first.close()
    assert log.ends == [], "closing is no outcome"
    assert log.released == [what.id]
    assert all(event["event"] != "end" for event in await asyncio.wait_for(reader, 30)), "no reader is left waiting"
    await asyncio.wait_for(_all(running.events()), 30)
    running = make(core.client).resume(what)
    *_, end = [event async for event in running.events()]
    assert end["state"] == "done"
    assert len(log.ends) == 1


async def _all(events: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event async for event in events]


@pytest.mark.proves("R93", "T-45")
async def test_a_command_not_sent_when_the_service_stops_has_failed(make: Make, log: RecordingLog) -> None:
    log.delay = 0.3
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        starting = asyncio.create_task(runner.start(ORDER, decided_at=CLOCK()))
        await until(lambda: runner.running)
        await asyncio.sleep(0.1)
        await runner.close()
        with pytest.raises(Unavailable, match="stopping"):
            await starting
        assert core.requests == []
    assert [state for _, state, _ in log.ends] in ([CommandState.FAILED], []), "an intent has its outcome"
    assert len(log.ends) == log.calls.count("start")
    assert log.released == []


@pytest.mark.usefixtures("quick")
async def test_a_command_sent_but_not_accepted_when_the_service_stops_is_left_open(
    make: Make, log: RecordingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core may have it or not: it is asked once the lease has expired."""
    monkeypatch.setattr(runner_module, "_CLOSE_SECONDS", 0.1)
    async with raw_core(says(5.0, HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        starting = asyncio.create_task(runner.start(ORDER, decided_at=CLOCK()))
        await until(lambda: core.requests)
        await runner.close()
        await asyncio.gather(starting, return_exceptions=True)
    assert (log.ends, log.released) == ([], [])


@pytest.mark.proves("R81")
@pytest.mark.usefixtures("quick")
async def test_starts_and_running_commands_are_authorized_differently(make: Make, authorizer: FakeAuthorizer) -> None:
    async with raw_core(says(HEAD, ACCEPTED, 0.3, DONE)) as core:
        runner = make(core.client())
        running = await runner.start(ORDER)
        assert authorizer.accepted == [False]
        await _all(running.events())
    first, *later = authorizer.accepted
    assert (first, set(later)) == (False, {True})


@pytest.mark.proves("R81", "R82")
@pytest.mark.parametrize("slow", [0, 1])
async def test_nothing_slow_lies_between_the_decision_and_the_first_byte(
    make: Make, authorizer: FakeAuthorizer, slow: int
) -> None:
    """The token is older than the decision: after a pause right before the first byte the core rejects it."""
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        client, signed = core.client(), list[int]()

        def sign_slowly(command: CoreCommand, body: bytes) -> str:
            if len(signed) == slow:
                CLOCK.advance(0.3)
            signed.append(authorizer.calls)
            return "token"

        client._sign = sign_slowly
        await _all((await make(client).start(ORDER, decided_at=CLOCK())).events())
    assert authorizer.calls == 1, "after the slow signature"
    assert signed[-1] == 1, "and signed anew"


async def test_the_number_of_remembered_commands_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_MAX_ENDED", 3)
    monkeypatch.setattr(runner_module, "_MAX_RUNNING", 2)
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        for number in range(5):
            await events_of(runner, dataclasses.replace(ORDER, id=f"{number:032}"))
        await until(lambda: not runner._running)
        assert [runner.find(f"{number:032}") is not None for number in range(5)] == [False, False, True, True, True]
    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        runner = make(core.client())
        for number in range(2):
            await runner.start(dataclasses.replace(ORDER, id=f"{number:032}"), decided_at=CLOCK())
        with pytest.raises(Problem, match="already running"):
            await runner.start(ORDER, decided_at=CLOCK())


@pytest.mark.proves("R125", "R127", "T-36")
async def test_one_user_cannot_take_all_capacity(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_MAX_PER_USER", 2)
    monkeypatch.setattr(runner_module, "_EXTRA_FOR_STOP", 1)

    def numbered(number: int, **changes: Any) -> CoreCommand:
        return dataclasses.replace(ORDER, id=f"{number:032}", **changes)

    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        runner = make(core.client())
        for number in range(2):
            await runner.start(numbered(number), decided_at=CLOCK())
        with pytest.raises(TooManyRequests, match="2 commands of yours"):
            await runner.start(numbered(2), decided_at=CLOCK())
        await runner.start(numbered(3, user="bob"), decided_at=CLOCK())
        await runner.start(numbered(4, verb="stop", job="stops"), decided_at=CLOCK())
        with pytest.raises(TooManyRequests, match="3 commands of yours"):
            await runner.start(numbered(5, verb="stop", job="stops"), decided_at=CLOCK())


def test_the_key_of_a_job_is_the_one_that_a_stop_names() -> None:
    assert ORDER.key == "training churn"
    assert dataclasses.replace(ORDER, verb="stop").key == "training churn"
    assert dataclasses.replace(ORDER, noun="all", arguments={}).key == "all"
    long = dataclasses.replace(ORDER, arguments={"name": "x" * 1000})
    assert (long.key, len(long.key)) == (dataclasses.replace(long, verb="stop").key, 255)
