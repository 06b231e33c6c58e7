"""Bounds the audit rows that callers without a credential can cause (T-37)."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from threading import Lock


class Ration:
    """Gives out the right to write a row; beyond it refusals are only counted, and the count goes into the next row.

    Parameters
    ----------
    burst : int
        Rows at once.
    per_second : float
        Rows that flow back.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst, self._rate = float(burst), per_second
        self._left = self._burst
        self._at: datetime | None = None
        self._left_out = 0
        self._guard = Lock()

    def take(self, now: datetime) -> int | None:
        """Return how many were left out since the last row, or None if this one is left out too."""
        with self._guard:
            passed = 0.0 if self._at is None else max(0.0, (now - self._at).total_seconds())
            self._at = now
            self._left = min(self._burst, self._left + passed * self._rate)
            if self._left < 1:
                self._left_out += 1
                return None
            self._left -= 1
            left_out, self._left_out = self._left_out, 0
            return left_out


class Rations:
    """A ration for each key; the table is bounded, and the key longest unused is forgotten first (R127).

    For one thread.
    """

    def __init__(self, burst: int, per_second: float, most: int = 1_000) -> None:
        self._burst, self._per_second, self._most = burst, per_second, most
        self._table: OrderedDict[str, Ration] = OrderedDict()

    def take(self, key: str, now: datetime) -> int | None:
        """As `Ration.take`, of the key's own."""
        found = self._table.pop(key) if key in self._table else Ration(self._burst, self._per_second)
        self._table[key] = found
        if len(self._table) > self._most:
            self._table.popitem(last=False)
        return found.take(now)
