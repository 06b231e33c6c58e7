"""One command at the core, as everybody who looks at it sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent, State

_MAX_WAITING = 256


class Running:
    """A command that the core has accepted: its present state, and its events for as many readers as want them.

    A reader that goes away changes nothing: an interrupted cell leaves its job running.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.end: CoreEvent | None = None
        self._progress: CoreEvent | None = None
        self._left = False
        self._readers: set[asyncio.Queue[CoreEvent | None]] = set()

    @property
    def state(self) -> str:
        """``running``, ``done``, ``failed``, ``stopped`` or ``unknown``."""
        return "running" if self.end is None else str(self.end.state)

    def to_json(self) -> dict[str, Any]:
        """Return what ``GET /api/v1/commands/{id}`` answers."""
        out: dict[str, Any] = {"id": self.order.id, "canonical": self.order.command, "state": self.state}
        if self.end is not None:
            out |= {"result": self.end.result, "message": self.end.message}
        elif self._progress is not None:
            out["progress"] = {"fraction": self._progress.fraction, "message": self._progress.message}
        return out

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the events from now on, as the kernel road sends them.

        The last is ``end``, but where this process ends first: how the command ends is said by whoever follows it then.
        """
        queue: asyncio.Queue[CoreEvent | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            if self.end is not None:
                yield self.end.to_json()
                return
            if self._progress is not None:
                yield self._progress.to_json()
            while not self._left:
                event = await queue.get()
                if event is None:
                    return
                yield event.to_json()
                if event.event == "end":
                    return
        finally:
            self._readers.discard(queue)

    def publish(self, event: CoreEvent) -> None:
        """Hand one event to all readers; a reader that is too slow misses progress and log lines, never the end."""
        if event.event == "progress":
            self._progress = event
        if event.event == "end":
            self.end = event
        for queue in self._readers:
            if event.event == "end" or queue.qsize() < _MAX_WAITING:
                queue.put_nowait(event)

    def leave(self) -> None:
        """Send all readers away: nothing more is heard of it here."""
        self._left = True
        for queue in self._readers:
            queue.put_nowait(None)


def unknown(message: str, *, forgotten: bool = False) -> CoreEvent:
    """Return the end of a command of which nobody can say how it ended."""
    return CoreEvent("end", state=State.UNKNOWN, message=message, forgotten=forgotten)
