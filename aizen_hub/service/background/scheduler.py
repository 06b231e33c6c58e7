"""Scheduler of periodic tasks: each runs in its own loop, and a failure ends neither the service nor another task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aizen_hub.problems import Problem
from aizen_hub.service.runtime.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """One periodic task.

    Attributes
    ----------
    name : str
        A constant, used as a metric label.
    interval : float
        Seconds between the end of a run and the next one.
    run : coroutine function
    run_at_start : bool
        Whether the first run does not wait for the interval.
    """

    name: str
    interval: float
    run: Callable[[], Awaitable[object]]
    run_at_start: bool = False


class Scheduler:
    """Runs tasks until it is stopped.

    Parameters
    ----------
    metrics : Metrics
        Counts runs by task and outcome.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: list[asyncio.Task[None]] = []

    def start(self, *tasks: ScheduledTask) -> None:
        """Start tasks; needs a running event loop."""
        self._running += [asyncio.create_task(self._repeat(task), name=f"background {task.name}") for task in tasks]

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _repeat(self, task: ScheduledTask) -> None:
        pause = 0.0 if task.run_at_start else task.interval
        while True:
            await asyncio.sleep(pause)
            pause = task.interval
            try:
                await task.run()
            except Problem as problem:
                self._metrics.count_background_run(task.name, "failed")
                log.warning("background task failed", extra={"data": {"task": task.name, "why": problem.detail}})
            except Exception as error:
                self._metrics.count_background_run(task.name, "failed")
                log.error("background task failed", exc_info=error, extra={"data": {"task": task.name}})
            else:
                self._metrics.count_background_run(task.name, "done")
