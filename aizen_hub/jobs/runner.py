"""Carries out allowed commands at the core: recorded before, decided again while they run, recorded after."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aizen_hub.authorization.decisions.evaluation import FRESH_SECONDS, clock
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent, State
from aizen_hub.jobs.follower import follow, stop
from aizen_hub.jobs.ports import Book, Judge
from aizen_hub.jobs.reauthorizer import Rounds
from aizen_hub.jobs.running_command import Running, unknown
from aizen_hub.problems import CoreFailed, Denied, Problem, TooMany, Unavailable

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0
_DECIDE_TRIES = 3
_RECORD_PAUSES = (0.0, 0.2, 1.0, 3.0)
_MAX_RUNNING = 1_024
_MAX_OF_ONE = 64
_MORE_TO_STOP = 16
_MAX_ENDED = 256
_CLOSE_SECONDS = 3.0


class Runner:
    """Carries out orders at the core.

    Parameters
    ----------
    client : CoreClient or None
        None: no core is configured, and every order is answered so.
    book : Book
    judge : Judge
        Asked every second about all commands that run. Whoever loses the right, or is locked, loses the job (R78,
        T-08); so does, after ten seconds, whoever's right nobody can decide.
    total_seconds : float
        Longest time that one command is followed.
    """

    def __init__(self, client: CoreClient | None, book: Book, judge: Judge, *, total_seconds: float = 3_600.0) -> None:
        self._client, self._book, self._judge = client, book, judge
        self._rounds = Rounds(judge)
        self._total_seconds = total_seconds
        self._running: dict[str, Running] = {}
        self._ended: OrderedDict[str, Running] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._follows: set[asyncio.Task[CoreEvent]] = set()
        self._left: list[Order] = []
        self._closing = False

    @property
    def running(self) -> tuple[str, ...]:
        """The ids of what is being started or followed."""
        return tuple(self._running)

    @property
    def room(self) -> int:
        """How many more commands could be followed."""
        return max(0, _MAX_RUNNING - len(self._running))

    async def start(self, order: Order, *, decided: float | None = None) -> Running:
        """Give an allowed command to the core and return once the core has accepted it.

        Parameters
        ----------
        decided : float, optional
            When the revision of its decision was read, as `accounts.court_case.clock` counts; when that is 250 ms ago,
            or not given, it is decided once more.

        Raises
        ------
        CoreFailed
            No core, or it did not accept the command. The outcome is recorded.
        Denied
            The right was lost in between.
        TooMany
            All places for commands are taken, or all that one person has.
        Problem
            Whatever ``Book.begin`` raises, a reached limit for example.
        """
        client = self._configured()
        self._check_room(order)
        running = Running(order)
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        accepted.add_done_callback(lambda future: future.cancelled() or future.exception())
        # A task of its own: that the asker hangs up must not tear a command apart between intent and outcome.
        self._spawn(running, self._carry_out(client, running, decided, accepted))
        await asyncio.shield(accepted)
        return running

    async def run(self, order: Order, *, decided: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """``start`` and then yield the events; problems of the start are raised before the first event."""
        running = await self.start(order, decided=decided)
        async for event in running.events():
            yield event

    def resume(self, order: Order) -> Running:
        """Follow a command that the core was given by a process that follows it no more."""
        client = self._configured()
        running = Running(order)
        self._spawn(running, self._follow_to_the_end(client, running, client.reattach(order)))
        return running

    def find(self, id: str) -> Running | None:
        """Return a command that runs, or one of the last that ended; whose it is stands in its order."""
        return self._running.get(id) or self._ended.get(id)

    async def close(self) -> None:
        """Stop following, and record what is known by now.

        What was not sent yet has failed, and an end that came is an outcome. All else goes on at the core; its rows
        stay open, and whoever looks next takes it up.
        """
        self._closing = True
        for following in self._follows:
            following.cancel()
        here, tasks = list(self._running.values()), list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._rounds.close()
        for running in here:
            if running.end is None:
                running.leave()
        if self._left:
            await asyncio.to_thread(self._book.release, self._left)

    def _check_room(self, order: Order) -> None:
        # Whoever hangs up leaves a command running and a place among the requests free: without a share of their own
        # one person could take every place. With the share used up one can still stop what runs.
        own = sum(running.order.user == order.user for running in self._running.values())
        if own >= _MAX_OF_ONE + (_MORE_TO_STOP if order.job == "stops" else 0):
            raise TooMany(f"{own} commands of yours are running already", remedy="wait for one to end, or stop one")
        if len(self._running) >= _MAX_RUNNING:
            raise TooMany(f"{_MAX_RUNNING} commands are running already", remedy="try again in a moment")

    def _configured(self) -> CoreClient:
        if self._client is None:
            raise CoreFailed(
                "allowed, but no core is configured",
                remedy="the operator sets `core` in aizen.yaml",
                more={"core": "none"},
            )
        return self._client

    def _spawn(self, running: Running, work: Awaitable[None]) -> None:
        async def whole() -> None:
            try:
                await work
            except Exception:
                # Whatever broke in here, the outcome is recorded and nobody waits for an end that never comes.
                log.exception("command %s was lost sight of", running.order.id)
                running.publish(await self._record(running.order, unknown("the service lost sight of it")))
            finally:
                self._running.pop(running.order.id, None)
                self._book.forget(running.order)
                if running.end is not None:
                    self._ended[running.order.id] = running
                    while len(self._ended) > _MAX_ENDED:
                        self._ended.popitem(last=False)

        self._running[running.order.id] = running
        task = asyncio.create_task(whole(), name=f"command {running.order.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(
        self, client: CoreClient, running: Running, decided: float | None, accepted: asyncio.Future[None]
    ) -> None:
        order = running.order
        begun = sent = False
        try:
            async with client.connect(order) as call:
                decided = await self._decide_again(order, decided, call.prepare)
                begun = True
                await self._begin(order)
                await self._decide_again(order, decided, call.prepare)
                try:
                    await call.begin()
                finally:
                    sent = call.sent
                accepted.set_result(None)
                await self._follow_to_the_end(client, running, call.events())
        except _NotBegun as refused:
            accepted.set_exception(refused.problem)
        except Problem as problem:
            if accepted.done():
                raise
            if begun or isinstance(problem, CoreFailed):
                state = State.UNKNOWN if sent and _may_have_begun(problem) else State.FAILED
                end = await self._record(order, CoreEvent("end", state=state, message=problem.detail))
                running.publish(end)
                problem.more.setdefault("state", str(end.state))
            accepted.set_exception(problem)
        except asyncio.CancelledError:
            accepted.cancel()
            raise
        except Exception as error:
            if not accepted.done():
                accepted.set_exception(error)
            if begun:
                raise

    async def _begin(self, order: Order) -> None:
        try:
            await asyncio.to_thread(self._book.begin, order)
        except Problem as problem:
            # Where the answer to the commit was lost, it may have begun: its failure is recorded if so (R105).
            if problem.more.get("indeterminate"):
                raise
            raise _NotBegun(problem) from problem

    async def _decide_again(self, order: Order, decided: float | None, prepare: Callable[[], None]) -> float:
        for _ in range(_DECIDE_TRIES):
            if self._closing:
                raise Unavailable("the service is ending")
            prepare()
            if decided is not None and clock() - decided <= FRESH_SECONDS:
                return decided
            decided = clock()
            if (why := await self._ask(order)) is not None:
                raise Denied(why)
        raise Unavailable(f"no decision was younger than {FRESH_SECONDS * 1000:g} ms when it reached the core")

    async def _follow_to_the_end(self, client: CoreClient, running: Running, events: AsyncIterator[CoreEvent]) -> None:
        order = running.order
        if self._closing:
            self._left.append(order)
            return
        following = asyncio.create_task(follow(client, running, events))
        self._follows.add(following)
        refused = asyncio.create_task(self._rounds.refusal(order))
        try:
            async with asyncio.timeout(self._total_seconds):
                await asyncio.wait({following, refused}, return_when=asyncio.FIRST_COMPLETED)
            done = following.done()
            end = following.result() if done else await stop(client, order, following, refused.result())
        except TimeoutError:
            end = unknown(f"not followed any longer after {self._total_seconds:g} s; it may still be running")
        except asyncio.CancelledError:
            self._left.append(order)
            raise
        finally:
            self._follows.discard(following)
            for task in (following, refused):
                task.cancel()
            await asyncio.gather(following, refused, return_exceptions=True)
        running.publish(await self._record(order, end))

    async def _ask(self, order: Order) -> str | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._judge.before(order)
        except TimeoutError:
            raise Unavailable(f"no decision within {_ANSWER_SECONDS:g} s") from None

    async def _record(self, order: Order, end: CoreEvent) -> CoreEvent:
        # No row, no answer: a reader never sees an outcome that the audit does not hold.
        detail = ""
        for pause in _RECORD_PAUSES:
            await asyncio.sleep(pause)
            try:
                await asyncio.to_thread(self._book.finish, order, end)
                return end
            except Exception as error:  # noqa: BLE001  whatever keeps it from being recorded, readers get an end
                detail = error.detail if isinstance(error, Problem) else type(error).__name__
        log.error("outcome of command %s could not be recorded: %s", order.id, detail)
        return unknown("the outcome could not be recorded")


class _NotBegun(Exception):
    """The book refused the order: nothing of it is on record."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _may_have_begun(problem: Problem) -> bool:
    return problem.more.get("core") in ("lost", "silent", "rubbish")
