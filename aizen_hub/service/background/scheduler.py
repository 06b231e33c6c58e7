"""Work that nobody asks for: each task in its own loop, none can end the service or another task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aizen_hub.problems import Problem
from aizen_hub.service.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of periodic work; ``every`` is in seconds, ``name`` a label of ours, ``at_once`` for a first run now."""

    name: str
    every: float
    work: Callable[[], Awaitable[object]]
    at_once: bool = False


class Background:
    """Runs tasks until it is stopped.

    Parameters
    ----------
    metrics : Metrics
        Counts runs by task and outcome.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: list[asyncio.Task[None]] = []

    def start(self, *tasks: Task) -> None:
        self._running += [asyncio.create_task(self._repeat(task), name=f"background {task.name}") for task in tasks]

    async def stop(self) -> None:
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _repeat(self, task: Task) -> None:
        pause = 0.0 if task.at_once else task.every
        while True:
            await asyncio.sleep(pause)
            pause = task.every
            try:
                await task.work()
            except Problem as problem:
                self._metrics.background(task.name, "failed")
                log.warning("background work failed", extra={"data": {"task": task.name, "why": problem.detail}})
            except Exception as error:
                self._metrics.background(task.name, "failed")
                log.error("background work failed", exc_info=error, extra={"data": {"task": task.name}})
            else:
                self._metrics.background(task.name, "done")
