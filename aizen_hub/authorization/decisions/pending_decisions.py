"""The court's waiting room: the questions of one event loop, and one timer for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from aizen_hub.authorization.decisions.evaluation import Question, Ruling, clock
from aizen_hub.problems import Problem, Unavailable

log = logging.getLogger(__name__)


class Waiting:
    """One question that waits.

    Attributes
    ----------
    text : str or None
        Its command without secrets.
    deadline : float
        As `clock` counts.
    again : str or None
        The id of the decision that this one is to replace.
    """

    __slots__ = ("again", "deadline", "future", "question", "room", "text")

    def __init__(self, room: Room, question: Question, text: str | None, deadline: float, again: str | None) -> None:
        self.room, self.question, self.text, self.deadline, self.again = room, question, text, deadline, again
        self.future: asyncio.Future[Ruling] = room.loop.create_future()


Outcomes = Sequence[tuple[Waiting, Ruling | Problem]]


class Room:
    """Who waits on one event loop.

    No question waits longer than its deadline, whatever the court's thread does. One timer watches over all: a timer
    for each would cost more than most of what is done for a question.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def enter(self, one: Waiting) -> None:
        self._waiting.add(one)
        if self._timer is None or one.deadline < self._due:
            self._watch(one.deadline)

    def leave(self, one: Waiting) -> None:
        self._waiting.discard(one)

    def call(self, work: Callable[..., None], *values: object) -> None:
        """Have something done on the event loop, from another thread."""
        try:
            self.loop.call_soon_threadsafe(work, *values)
        except RuntimeError:
            log.info("an event loop ended before it could be told of its answers")

    def _watch(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_later(max(0.0, due - clock()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = clock()
        settle([(one, in_time()) for one in self._waiting if one.deadline <= now])
        left = [one.deadline for one in self._waiting if one.deadline > now]
        if left:
            self._watch(min(left))


def in_time() -> Unavailable:
    return Unavailable("the store did not answer in time", remedy="try again in a moment")


def settle(outcomes: Outcomes) -> None:
    """Answer on the event loop itself; who was answered or has gone is passed over."""
    for one, outcome in outcomes:
        future = one.future
        if future.done():
            continue
        if isinstance(outcome, Ruling):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
