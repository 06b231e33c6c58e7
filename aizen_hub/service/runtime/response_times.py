"""How fast the directories answered lately, as the hub reports it with each sign-in and refresh; kept in memory."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 3600.0
MAX_KEPT = 500
"""Of one directory; the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class ResponseTimeSummary:
    """What one directory did within the window.

    Attributes
    ----------
    count : int
        Answers, at most `MAX_KEPT`.
    median, slowest : float
        Seconds.
    over_seconds : float
        The age of the oldest of these answers.
    """

    count: int
    median: float
    slowest: float
    over_seconds: float


class ResponseTimes:
    """The response times that were reported to this process, by provider; used by the event loop only.

    Parameters
    ----------
    clock : callable
        Returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: defaultdict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=MAX_KEPT))

    def add(self, provider: str, seconds: float) -> None:
        """Keep one response time of a configured provider."""
        self._times[provider].append((self._clock(), seconds))

    def summarize(self) -> dict[str, ResponseTimeSummary]:
        """Return the summaries of all providers that answered within the window."""
        now = self._clock()
        recent = {
            provider: [(at, seconds) for at, seconds in times if now - at <= WINDOW_SECONDS]
            for provider, times in self._times.items()
        }
        return {
            provider: ResponseTimeSummary(
                len(times),
                statistics.median(seconds for _, seconds in times),
                max(seconds for _, seconds in times),
                now - times[0][0],
            )
            for provider, times in recent.items()
            if times
        }
