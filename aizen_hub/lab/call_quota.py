"""How many calls the browser may make."""

from __future__ import annotations

import time
from collections.abc import Callable


class CallQuota:
    """A token bucket; for one thread, that of the event loop.

    Parameters
    ----------
    burst : int
        Calls that are allowed at once.
    per_second : float
        How fast they become available again.
    clock : callable
        Returns seconds.
    """

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left, self._at = float(burst), clock()

    def take(self) -> bool:
        """Take one call; False if there is none left."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
