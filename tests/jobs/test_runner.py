"""The runner: recorded before the first byte, decided while it runs, recorded after, whatever happens in between."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

import pytest

from aizen_hub.authorization.decisions.evaluation import clock
from aizen_hub.jobs import follower as following
from aizen_hub.jobs import reauthorizer as rounds
from aizen_hub.jobs import runner as module
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent, State
from aizen_hub.jobs.runner import Runner
from aizen_hub.problems import CoreFailed, Denied, LimitReached, Problem, TooMany, Unavailable
from tests.deploy.sample_core.real_core import Core, children, order, until
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, ORDER, RawCore, line, raw_core, says


class Pages:
    """A book in memory that notes what happened, in order, beside what the core notes."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.released: list[str] = []
        self.ends: list[tuple[str, State | None, str]] = []
        self.not_there: list[str] = []
        self.kept: set[str] = set()
        self.refuse: Exception | None = None
        self.broken = 0
        self.fault: Exception = Unavailable("the disk is full")
        self.slow = 0.0
        self._lock = threading.Lock()

    def begin(self, order: Order) -> None:
        self.kept.add(order.id)
        time.sleep(self.slow)
        self.happened.append("begin")
        if self.refuse is not None:
            raise self.refuse

    def finish(self, order: Order, end: CoreEvent) -> None:
        with self._lock:
            if self.broken:
                self.broken -= 1
                raise self.fault
            self.happened.append("finish")
            self.ends.append((order.id, end.state, end.message))
            if end.forgotten:
                self.not_there.append(order.id)

    def release(self, orders: Collection[Order]) -> None:
        self.released += [order.id for order in orders]

    def forget(self, order: Order) -> None:
        self.kept.discard(order.id)


class Judge:
    """Answers whether it is still allowed; None is yes."""

    def __init__(self) -> None:
        self.why: str | None = None
        self.problem: Exception | None = None
        self.slow = 0.0
        self.asked = 0
        self.accepted: list[bool] = []

    async def before(self, order: Order) -> str | None:
        return await self._answer(accepted=False)

    async def again(self, orders: Collection[Order]) -> Mapping[str, str | None]:
        return dict.fromkeys((order.id for order in orders), await self._answer(accepted=True))

    async def _answer(self, *, accepted: bool) -> str | None:
        self.asked += 1
        self.accepted.append(accepted)
        await asyncio.sleep(self.slow)
        if self.problem is not None:
            raise self.problem
        return self.why


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def judge() -> Judge:
    return Judge()


Make = Callable[..., Runner]


@pytest.fixture
async def make(pages: Pages, judge: Judge) -> AsyncIterator[Make]:
    made: list[Runner] = []

    def build(client: CoreClient | None, **more: Any) -> Runner:
        made.append(Runner(client, pages, judge, **more))
        return made[-1]

    yield build
    for one in made:
        await one.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(rounds, "_LEAST_PAUSE", 0.01)
    for where in (module, rounds):
        monkeypatch.setattr(where, "_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(rounds, "_UNDECIDED_SECONDS", 0.3)
    monkeypatch.setattr(following, "_REATTACH_PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(following, "_CANCEL_PAUSES", (0.0, 0.01))
    monkeypatch.setattr(following, "_WAIT_FOR_STOP_SECONDS", 0.5)
    monkeypatch.setattr(module, "_RECORD_PAUSES", (0.0, 0.01, 0.01))


async def events_of(runner: Runner, what: Order = ORDER) -> list[dict[str, Any]]:
    return [event async for event in runner.run(what, decided=clock())]


@pytest.mark.proves("R93")
async def test_the_intent_is_recorded_before_the_first_byte_and_the_outcome_before_the_answer(
    make: Make, pages: Pages
) -> None:
    async with raw_core(says(HEAD, ACCEPTED, line("progress", fraction=0.5), DONE)) as core:
        core.happened = pages.happened
        runner = make(core.client())
        async for event in runner.run(ORDER, decided=clock()):
            pages.happened.append(event["event"])
    assert pages.happened == ["begin", "POST", "progress", "finish", "end"]
    assert pages.ends == [(ORDER.id, State.DONE, "")]


@pytest.mark.proves("R93")
async def test_a_command_that_cannot_be_recorded_never_reaches_the_core(make: Make, pages: Pages) -> None:
    pages.refuse = LimitReached("3 jobs run already")
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        with pytest.raises(LimitReached):
            await events_of(make(core.client()))
        assert core.requests == []
    assert pages.ends == [], "it never began, so it has no outcome"


@pytest.mark.proves("R81")
async def test_an_old_decision_is_made_again(make: Make, pages: Pages, judge: Judge) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        await runner.start(ORDER, decided=clock())
        assert judge.asked == 0
        await runner.start(dataclasses.replace(ORDER, id="1" * 32), decided=clock() - 1)
        assert judge.asked == 1
        judge.why = "the role was revoked"
        with pytest.raises(Denied, match="the role was revoked"):
            await runner.start(dataclasses.replace(ORDER, id="2" * 32), decided=clock() - 1)
        assert len(core.requests) == 2


async def test_a_book_that_is_slow_makes_the_decision_old(make: Make, pages: Pages, judge: Judge) -> None:
    pages.slow, judge.why = 0.3, "locked meanwhile"
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        with pytest.raises(Denied):
            await events_of(make(core.client()))
        assert core.requests == []
    assert [state for _, state, _ in pages.ends] == [State.FAILED], "its intent was recorded, so its outcome is"


async def test_without_a_core_it_is_said(make: Make, pages: Pages) -> None:
    with pytest.raises(CoreFailed, match="allowed, but no core is configured"):
        await events_of(make(None))
    assert pages.happened == []


async def test_a_core_that_is_down_is_an_outcome(make: Make, pages: Pages) -> None:
    with pytest.raises(CoreFailed, match="cannot be reached"):
        await events_of(make(RawCore("http://127.0.0.1:1").client()))
    assert [state for _, state, _ in pages.ends] == [State.FAILED]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", State.FAILED),
        (b"HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", State.FAILED),
        (b"", State.UNKNOWN),
        (HEAD + b"rubbish\n", State.UNKNOWN),
    ],
    ids=["refused", "redirect", "lost", "rubbish"],
)
async def test_what_happened_at_the_start_is_recorded_as_far_as_it_is_known(
    make: Make, pages: Pages, said: bytes, state: State
) -> None:
    async with raw_core(says(said)) as core:
        with pytest.raises(CoreFailed):
            await events_of(make(core.client()))
    assert [one for _, one, _ in pages.ends] == [state]


@pytest.mark.usefixtures("quick")
async def test_a_lost_stream_is_taken_up_again(make: Make, pages: Pages) -> None:
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
    assert len(pages.ends) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("new", [True, False], ids=["goes on", "repeats itself"])
async def test_a_stream_may_be_cut_as_often_as_the_command_goes_on_in_between(
    make: Make, pages: Pages, new: bool
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
    assert len(pages.ends) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("later", [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"", HEAD + b"rubbish\n"])
async def test_what_is_never_said_is_unknown(make: Make, pages: Pages, later: bytes) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + ACCEPTED if request.startswith("POST") else later)
        await writer.drain()

    async with raw_core(talk) as core:
        events = await events_of(make(core.client()))
        assert len(core.requests) <= 4
    assert events[-1]["state"] == "unknown"
    assert [state for _, state, _ in pages.ends] == [State.UNKNOWN]
    assert pages.not_there == ([ORDER.id] if b"404" in later else []), "only a core that does not know it proves that"


@pytest.mark.usefixtures("quick")
async def test_what_the_core_does_not_know_need_not_be_stopped(make: Make, pages: Pages, judge: Judge) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("POST"):
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            await asyncio.sleep(60)
        writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")

    judge.why = "locked"
    async with raw_core(talk) as core:
        assert (await events_of(make(core.client(idle=30))))[-1]["state"] == "unknown"
    assert pages.not_there == [ORDER.id]


@pytest.mark.usefixtures("quick")
async def test_a_command_is_not_followed_for_ever(make: Make, pages: Pages) -> None:
    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        events = await events_of(make(core.client(idle=30), total_seconds=0.2))
    assert events[-1]["state"] == "unknown"
    assert "may still be running" in events[-1]["message"]


@pytest.mark.usefixtures("quick")
@pytest.mark.proves("R78")
async def test_whoever_loses_the_right_loses_the_job(core: Core, make: Make, pages: Pages, judge: Judge) -> None:
    runner = make(core.client)
    running = await runner.start(order("start training slow"), decided=clock())
    await until(lambda: judge.asked > 3)
    assert len(children(core.process.pid)) == 1
    judge.why = "alice is locked"
    events = [event async for event in running.events()]
    assert events[-1]["state"] == "stopped"
    assert "alice is locked" in events[-1]["message"]
    assert children(core.process.pid) == set()
    assert [(state, message) for _, state, message in pages.ends] == [
        (State.STOPPED, "not allowed any longer: alice is locked")
    ]


@pytest.mark.usefixtures("quick")
async def test_a_core_that_does_not_stop_is_told(make: Make, judge: Judge) -> None:
    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        if request.startswith("POST"):
            writer.write(HEAD + ACCEPTED)
            await writer.drain()
            await asyncio.sleep(60)
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    judge.why = "locked"
    async with raw_core(talk) as core:
        events = await events_of(make(core.client(idle=30)))
        assert [request.partition(" ")[0] for request in core.requests] == ["POST", "DELETE", "DELETE"]
    assert events[-1]["state"] == "unknown"
    assert "did not stop it" in events[-1]["message"]


@pytest.mark.usefixtures("quick")
async def test_a_short_outage_of_the_store_costs_no_job_a_long_one_does(core: Core, make: Make, judge: Judge) -> None:
    running = await make(core.client).start(order("start training slow"), decided=clock())
    judge.problem = Unavailable("the store is away")
    await until(lambda: judge.asked >= 3)
    judge.problem = None
    await until(lambda: judge.asked >= 20)
    assert running.state == "running"
    judge.problem = Unavailable("the store is away")
    *_, end = [event async for event in running.events()]
    assert end["state"] == "stopped"


@pytest.mark.usefixtures("quick")
@pytest.mark.proves("R79", "T-08")
@pytest.mark.parametrize(
    ("problem", "slow"), [(Unavailable("away"), 0.0), (RuntimeError("a fault of ours"), 0.0), (None, 60.0)],
    ids=["unavailable", "broken", "hanging"],
)  # fmt: skip
async def test_what_nobody_can_decide_any_more_is_stopped(
    core: Core, make: Make, judge: Judge, pages: Pages, problem: Exception | None, slow: float
) -> None:
    """However the decision fails to come, a command does not run on without one."""
    running = await make(core.client).start(order("start training slow"), decided=clock())
    judge.problem, judge.slow = problem, slow
    *_, end = [event async for event in running.events()]
    assert end["state"] == "stopped"
    assert "nobody could decide" in end["message"]
    assert children(core.process.pid) == set()
    assert [state for _, state, _ in pages.ends] == [State.STOPPED]


@pytest.mark.usefixtures("quick")
async def test_a_fault_of_ours_leaves_nobody_waiting(
    make: Make, pages: Pages, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        pages.refuse = RuntimeError("a bug")
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(events_of(make(core.client())), 5)
        await until(lambda: pages.ends)  # it may be on record: the book looks it up
        pages.refuse, runner = None, make(core.client())
        pages.ends.clear()
        running = await runner.start(dataclasses.replace(ORDER, id="1" * 32), decided=clock())
        judge.why = "locked"
        monkeypatch.setattr(module, "stop", _broken)
        events = [event async for event in running.events()]
    assert events[-1]["state"] == "unknown"
    assert [state for _, state, _ in pages.ends] == [State.UNKNOWN]
    assert runner._running == {}


async def _broken(*_: object) -> Any:
    raise RuntimeError("a bug")


async def test_a_reader_that_goes_away_leaves_the_job(core: Core, make: Make, pages: Pages) -> None:
    runner = make(core.client)
    what = order("start training churn")
    async for event in runner.run(what, decided=clock()):
        if event["event"] == "progress":
            break
    await until(lambda: pages.ends)
    assert pages.ends == [(what.id, State.DONE, "training `churn` is done")]
    found = runner.find(what.id)
    assert found is not None
    assert found.to_json()["state"] == "done"
    assert [event["event"] async for event in found.events()] == ["end"], "whoever comes late learns the end"


async def test_an_asker_that_hangs_up_at_the_start_tears_nothing(make: Make, pages: Pages) -> None:
    async with raw_core(says(0.2, HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        asking = asyncio.create_task(runner.start(ORDER, decided=clock()))
        await until(lambda: core.requests)
        asking.cancel()
        await until(lambda: pages.ends)
    assert pages.happened == ["begin", "finish"]
    await until(lambda: not pages.kept)


async def test_who_hangs_up_before_a_refusal_leaves_nothing_behind(make: Make, pages: Pages) -> None:
    pages.slow, pages.refuse = 0.2, LimitReached("3 jobs run already")
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        asking = asyncio.create_task(runner.start(ORDER, decided=clock()))
        await until(lambda: pages.kept)
        asking.cancel()
        await until(lambda: not runner.running)
        assert (pages.happened, pages.kept, core.requests) == (["begin"], set(), [])


async def test_all_readers_see_the_same_end(core: Core, make: Make) -> None:
    running = await make(core.client).start(order("start dataset churn"), decided=clock())

    async def read() -> list[dict[str, Any]]:
        return [event async for event in running.events()]

    first, second = await asyncio.gather(read(), read())
    assert first[-1] == second[-1]
    assert first[-1]["state"] == "done"


@pytest.mark.usefixtures("quick")
@pytest.mark.proves("R93")
async def test_an_outcome_that_cannot_be_recorded_is_not_told(make: Make, pages: Pages) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        pages.broken = 1
        assert (await events_of(runner))[-1]["state"] == "done"
        pages.broken = 100
        for number, fault in enumerate((pages.fault, OSError("no space left")), 1):
            pages.fault = fault
            end = (await events_of(runner, dataclasses.replace(ORDER, id=str(number) * 32)))[-1]
            assert (end["state"], end["result"]) == ("unknown", None)
            assert "could not be recorded" in end["message"]


async def test_a_service_that_starts_anew_takes_its_jobs_up_again(core: Core, make: Make, pages: Pages) -> None:
    what = order("configure training long epochs=60 pause=0.05")
    await events_of(make(core.client), what)
    pages.ends.clear()
    what = order("start training long")
    first = make(core.client)
    left = await first.start(what, decided=clock())
    reader = asyncio.create_task(_all(left.events()))
    await until(lambda: left._readers)
    await first.close()
    assert pages.ends == [], "closing is no outcome"
    assert pages.released == [what.id]
    assert all(event["event"] != "end" for event in await asyncio.wait_for(reader, 5)), "nobody is left waiting"
    await asyncio.wait_for(_all(left.events()), 5)
    running = make(core.client).resume(what)
    *_, end = [event async for event in running.events()]
    assert end["state"] == "done"
    assert len(pages.ends) == 1


async def _all(events: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event async for event in events]


@pytest.mark.proves("R93", "T-45")
async def test_what_was_not_sent_when_the_service_ends_has_failed(make: Make, pages: Pages) -> None:
    pages.slow = 0.3
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        starting = asyncio.create_task(runner.start(ORDER, decided=clock()))
        await until(lambda: runner.running)
        await asyncio.sleep(0.1)
        await runner.close()
        with pytest.raises(Unavailable, match="ending"):
            await starting
        assert core.requests == []
    assert [state for _, state, _ in pages.ends] in ([State.FAILED], []), "an intent has its outcome"
    assert len(pages.ends) == pages.happened.count("begin")
    assert pages.released == []


@pytest.mark.usefixtures("quick")
async def test_what_was_sent_but_not_accepted_when_the_service_ends_is_left_as_it_is(
    make: Make, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core may have it or not: it is asked when the lease has run out."""
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.1)
    async with raw_core(says(5.0, HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        starting = asyncio.create_task(runner.start(ORDER, decided=clock()))
        await until(lambda: core.requests)
        await runner.close()
        await asyncio.gather(starting, return_exceptions=True)
    assert (pages.ends, pages.released) == ([], [])


@pytest.mark.proves("R81")
@pytest.mark.usefixtures("quick")
async def test_whoever_decides_is_told_whether_it_runs_already(make: Make, judge: Judge) -> None:
    async with raw_core(says(HEAD, ACCEPTED, 0.3, DONE)) as core:
        runner = make(core.client())
        running = await runner.start(ORDER)
        assert judge.accepted == [False]
        await _all(running.events())
    first, *later = judge.accepted
    assert (first, set(later)) == (False, {True})


@pytest.mark.proves("R81", "R82")
@pytest.mark.parametrize("slow", [0, 1])
async def test_nothing_lies_between_the_decision_and_the_first_byte(make: Make, judge: Judge, slow: int) -> None:
    """The token is older: a process that stands still right before the first byte sends what the core takes no more."""
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        client, signed = core.client(), list[int]()

        def slowly(what: Order, body: bytes) -> str:
            if len(signed) == slow:
                time.sleep(0.3)
            signed.append(judge.asked)
            return "token"

        client._sign = slowly
        await _all((await make(client).start(ORDER, decided=clock())).events())
    assert judge.asked == 1, "after the slow signature"
    assert signed[-1] == 1, "and signed anew"


async def test_what_is_remembered_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ENDED", 3)
    monkeypatch.setattr(module, "_MAX_RUNNING", 2)
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        runner = make(core.client())
        for number in range(5):
            await events_of(runner, dataclasses.replace(ORDER, id=f"{number:032}"))
        await until(lambda: not runner._running)
        assert [runner.find(f"{number:032}") is not None for number in range(5)] == [False, False, True, True, True]
    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        runner = make(core.client())
        for number in range(2):
            await runner.start(dataclasses.replace(ORDER, id=f"{number:032}"), decided=clock())
        with pytest.raises(Problem, match="running already"):
            await runner.start(ORDER, decided=clock())


@pytest.mark.proves("R125", "R127", "T-36")
async def test_nobody_takes_the_places_of_the_others(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_OF_ONE", 2)
    monkeypatch.setattr(module, "_MORE_TO_STOP", 1)

    def one(number: int, **changes: Any) -> Order:
        return dataclasses.replace(ORDER, id=f"{number:032}", **changes)

    async with raw_core(says(HEAD, ACCEPTED, then_wait=True)) as core:
        runner = make(core.client())
        for number in range(2):
            await runner.start(one(number), decided=clock())
        with pytest.raises(TooMany, match="2 commands of yours"):
            await runner.start(one(2), decided=clock())
        await runner.start(one(3, user="somebody-else"), decided=clock())
        await runner.start(one(4, verb="stop", job="stops"), decided=clock())
        with pytest.raises(TooMany, match="3 commands of yours"):
            await runner.start(one(5, verb="stop", job="stops"), decided=clock())


def test_the_key_of_a_job_is_what_a_stop_names() -> None:
    assert ORDER.key == "training churn"
    assert dataclasses.replace(ORDER, verb="stop").key == "training churn"
    assert dataclasses.replace(ORDER, noun="all", arguments={}).key == "all"
    long = dataclasses.replace(ORDER, arguments={"name": "x" * 1000})
    assert (long.key, len(long.key)) == (dataclasses.replace(long, verb="stop").key, 255)
