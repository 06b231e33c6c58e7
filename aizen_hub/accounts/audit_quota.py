"""Quotas for the audit rows that unauthenticated callers can cause (T-37)."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from threading import Lock


class AuditQuota:
    """Token bucket for audit rows. Rows beyond the quota are only counted, and the count is written into the next row.

    Thread-safe.

    Parameters
    ----------
    burst : int
        Number of rows that may be written at once.
    per_second : float
        Number of rows that become available again per second.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst, self._rate = float(burst), per_second
        self._left = self._burst
        self._at: datetime | None = None
        self._left_out = 0
        self._guard = Lock()

    def acquire(self, now: datetime) -> int | None:
        """Return how many rows were skipped since the last one, or None if this row is skipped too."""
        with self._guard:
            elapsed = 0.0 if self._at is None else max(0.0, (now - self._at).total_seconds())
            self._at = now
            self._left = min(self._burst, self._left + elapsed * self._rate)
            if self._left < 1:
                self._left_out += 1
                return None
            self._left -= 1
            skipped, self._left_out = self._left_out, 0
            return skipped


class AuditQuotas:
    """One quota per key, in a bounded table: the least recently used key is evicted first (R127).

    Not thread-safe.
    """

    def __init__(self, burst: int, per_second: float, limit: int = 1_000) -> None:
        self._burst, self._per_second, self._limit = burst, per_second, limit
        self._table: OrderedDict[str, AuditQuota] = OrderedDict()

    def acquire(self, key: str, now: datetime) -> int | None:
        """Return the result of `AuditQuota.acquire` for the quota of this key."""
        quota = self._table.pop(key) if key in self._table else AuditQuota(self._burst, self._per_second)
        self._table[key] = quota
        if len(self._table) > self._limit:
            self._table.popitem(last=False)
        return quota.acquire(now)
