"""Periodic re-authorization of the running commands (R78, T-08)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aizen_hub.authorization.decisions.evaluation import boottime
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.ports import Authorizer
from aizen_hub.problems import Problem

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 1.0
_MIN_PAUSE_SECONDS = 0.05
_DECISION_TIMEOUT_SECONDS = 5.0
_MAX_UNDECIDED_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class _Entry:
    command: CoreCommand
    denied: asyncio.Future[str]
    decided_at: float


class Reauthorizer:
    """Re-authorizes all running commands once per second in one request, so that the load does not grow with them.

    Parameters
    ----------
    authorizer : Authorizer
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._entries: set[_Entry] = set()
        self._task: asyncio.Task[None] | None = None

    async def wait_for_denial(self, command: CoreCommand) -> str:
        """Wait until a command is no longer allowed, or could not be decided for ten seconds; return the reason."""
        entry = _Entry(command, asyncio.get_running_loop().create_future(), boottime())
        self._entries.add(entry)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="reauthorizer")
        try:
            return await entry.denied
        finally:
            self._entries.discard(entry)

    async def close(self) -> None:
        """Stop re-authorizing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        started_at = boottime()
        while self._entries:
            # The interval counts from start to start: a slow decision does not delay the next one.
            await asyncio.sleep(max(_MIN_PAUSE_SECONDS, started_at + _INTERVAL_SECONDS - boottime()))
            started_at = boottime()
            entries = tuple(self._entries)
            denials = await self._reauthorize([entry.command for entry in entries]) if entries else {}
            for entry in entries:
                reason = denials.get(entry.command.id)
                if entry.command.id in denials:
                    entry.decided_at = started_at
                elif boottime() - entry.decided_at >= _MAX_UNDECIDED_SECONDS:
                    reason = f"for {_MAX_UNDECIDED_SECONDS:g} s it could not be decided whether it is still allowed"
                if reason is not None and not entry.denied.done():
                    entry.denied.set_result(reason)

    async def _reauthorize(self, commands: list[CoreCommand]) -> Mapping[str, str | None]:
        try:
            async with asyncio.timeout(_DECISION_TIMEOUT_SECONDS):
                return await self._authorizer.reauthorize(commands)
        except Exception as error:  # noqa: BLE001  after any error they are undecided
            if not isinstance(error, Problem):
                log.warning("%d running commands could not be re-authorized (%s)", len(commands), type(error).__name__)
            return {}
