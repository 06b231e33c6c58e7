"""Counts which assignments allowed decisions, in memory; a task writes the counts later, off the path of a decision."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

WRITE_INTERVAL = timedelta(hours=1)
"""Time between two writes about the same assignment by one process."""


class AssignmentUse(NamedTuple):
    """How often one assignment allowed a decision, and when first and last."""

    assignment_id: int
    first_used: datetime
    last_used: datetime
    uses: int


class UseCounter:
    """Collects uses until they are written. Safe to use from several threads; counting touches no database.

    What is not written yet is lost if the process is killed: at most the uses of the last hour of an assignment whose
    earlier use is known.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[datetime, datetime, int]] = {}
        self._written: dict[str, datetime] = {}

    def count(self, assignment_id: str | None, at: datetime, uses: int = 1) -> None:
        """Count decisions that the assignment allowed; None, for what is open to every user, counts nothing."""
        if assignment_id is None:
            return
        with self._lock:
            counted = self._counts.get(assignment_id)
            self._counts[assignment_id] = (at, at, uses) if counted is None else (counted[0], at, counted[2] + uses)

    def take_due(self, now: datetime, limit: int) -> list[AssignmentUse]:
        """Return and forget up to ``limit`` counts of assignments about which nothing was written for an hour."""
        with self._lock:
            since = now - WRITE_INTERVAL
            self._written = {name: at for name, at in self._written.items() if at > since}
            due = [name for name in self._counts if name not in self._written][:limit]
            self._written |= dict.fromkeys(due, now)
            return [AssignmentUse(int(name), *self._counts.pop(name)) for name in due]

    def take_all(self) -> list[AssignmentUse]:
        """Return and forget all counts, before the process ends."""
        with self._lock:
            counts, self._counts = self._counts, {}
            return [AssignmentUse(int(name), *counted) for name, counted in counts.items()]

    def put_back(self, uses: Iterable[AssignmentUse]) -> None:
        """Take back counts that could not be written; they are due at once."""
        with self._lock:
            for use in uses:
                name = str(use.assignment_id)
                later = self._counts.get(name)
                last, more = (use.last_used, 0) if later is None else (later[1], later[2])
                self._counts[name] = (use.first_used, last, use.uses + more)
                self._written.pop(name, None)
