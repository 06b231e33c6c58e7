"""Live state of one command at the core, shared by all its readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CommandState, CoreEvent

_MAX_QUEUED = 256
_MAX_LOG = 40
"""Log lines that are kept for those who attach later."""


class RunningCommand:
    """A command that is running at the core: its current state, and its events for any number of readers.

    A reader that disconnects changes nothing: an interrupted cell leaves its job running.
    """

    def __init__(self, command: CoreCommand) -> None:
        self.command = command
        self.end: CoreEvent | None = None
        self._progress: CoreEvent | None = None
        self._log: deque[CoreEvent] = deque(maxlen=_MAX_LOG)
        self._detached = False
        self._readers: set[asyncio.Queue[CoreEvent | None]] = set()

    @property
    def progress(self) -> CoreEvent | None:
        """The latest progress that the core has reported."""
        return self._progress

    @property
    def state(self) -> str:
        """``running``, ``done``, ``failed``, ``stopped`` or ``unknown``."""
        return "running" if self.end is None else str(self.end.state)

    def to_json(self) -> dict[str, Any]:
        """Return the state as the body of ``GET /api/v1/commands/{id}``."""
        out: dict[str, Any] = {"id": self.command.id, "canonical": self.command.command, "state": self.state}
        if self.end is not None:
            out |= {"result": self.end.result, "message": self.end.message}
        elif self._progress is not None:
            out["progress"] = {"fraction": self._progress.fraction, "message": self._progress.message}
        return out

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the latest log lines, the progress, and the events from now on, as they are sent to clients.

        The last one is ``end``, unless this process stops first; another process then follows the command.
        """
        queue: asyncio.Queue[CoreEvent | None] = asyncio.Queue()
        self._readers.add(queue)
        # What comes after this line is in the queue.
        missed = [event for event in (*self._log, self.end or self._progress) if event is not None]
        try:
            for event in missed:
                yield event.to_json()
                if event.event == "end":
                    return
            while not self._detached:
                queued = await queue.get()
                if queued is None:
                    return
                yield queued.to_json()
                if queued.event == "end":
                    return
        finally:
            self._readers.discard(queue)

    def publish(self, event: CoreEvent) -> None:
        """Send one event to all readers; a slow reader misses progress and log lines, never the end."""
        if event.event == "progress":
            self._progress = event
        elif event.event == "log":
            self._log.append(event)
        elif event.event == "end":
            self.end = event
        for queue in self._readers:
            if event.event == "end" or queue.qsize() < _MAX_QUEUED:
                queue.put_nowait(event)

    def detach(self) -> None:
        """End the streams of all readers, since this process no longer follows the command."""
        self._detached = True
        for queue in self._readers:
            queue.put_nowait(None)


def unknown_end(message: str, *, unknown_to_core: bool = False) -> CoreEvent:
    """Return the end of a command whose outcome is not known."""
    return CoreEvent("end", state=CommandState.UNKNOWN, message=message, unknown_to_core=unknown_to_core)
