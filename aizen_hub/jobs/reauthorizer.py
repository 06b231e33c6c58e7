"""Asks once a second about all commands that run whether they still may (R78, T-08)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aizen_hub.authorization.decisions.evaluation import clock
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.ports import Judge
from aizen_hub.problems import Problem

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_LEAST_PAUSE = 0.05
_ANSWER_SECONDS = 5.0
_UNDECIDED_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class _Watched:
    order: Order
    refused: asyncio.Future[str]
    decided: float


class Rounds:
    """One question per round about all orders, so that many commands ask the store no more often than one.

    Parameters
    ----------
    judge : Judge
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._watched: set[_Watched] = set()
        self._going: asyncio.Task[None] | None = None

    async def refusal(self, order: Order) -> str:
        """Wait until an order is not allowed any longer, or nobody could decide it for ten seconds; return why."""
        watched = _Watched(order, asyncio.get_running_loop().create_future(), clock())
        self._watched.add(watched)
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go(), name="rounds of what runs")
        try:
            return await watched.refused
        finally:
            self._watched.discard(watched)

    async def close(self) -> None:
        """Ask no more."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.gather(self._going, return_exceptions=True)

    async def _go(self) -> None:
        began = clock()
        while self._watched:
            # From begin to begin: an answer that takes its time does not put the next one off.
            await asyncio.sleep(max(_LEAST_PAUSE, began + _EVERY_SECONDS - clock()))
            began = clock()
            asked = tuple(self._watched)
            answers = await self._ask([one.order for one in asked]) if asked else {}
            for one in asked:
                why = answers.get(one.order.id)
                if one.order.id in answers:
                    one.decided = began
                elif clock() - one.decided >= _UNDECIDED_SECONDS:
                    why = f"for {_UNDECIDED_SECONDS:g} s nobody could decide whether it is still allowed"
                if why is not None and not one.refused.done():
                    one.refused.set_result(why)

    async def _ask(self, orders: list[Order]) -> Mapping[str, str | None]:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._judge.again(orders)
        except Exception as error:  # noqa: BLE001  whatever keeps them from being decided, they are not decided
            if not isinstance(error, Problem):
                log.warning("%d commands could not be decided again (%s)", len(orders), type(error).__name__)
            return {}
