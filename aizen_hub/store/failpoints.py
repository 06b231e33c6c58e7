"""Failpoints: named points at which a fault test kills or stops this process (T-45).

A crash matters most between deciding, committing and answering, where it is least likely to happen by chance. A fault
test sets ``AIZEN_TEST_KILL_AT`` before it starts the service: ``point``, ``point:n`` (the nth time, by default the
first) or ``point:n:stop`` (SIGSTOP instead of SIGKILL, until the test sends SIGCONT). Without the variable `failpoint`
does nothing. The variable opens no new attack: setting it requires control over the process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

VARIABLE = "AIZEN_TEST_KILL_AT"
SERVICE_POINTS = frozenset({"begun", "decided", "changed", "before-commit", "after-commit", "before-answer"})
ARCHIVE_POINTS = frozenset({"archive-written", "archived", "removed"})
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _disarmed(point: str) -> None:
    """Do nothing."""


def arm(text: str | None) -> Callable[[str], None]:
    """Return the function to call at every failpoint, for a value of the variable.

    Raises
    ------
    ValueError
        The value does not name a failpoint; the test would not kill anything.
    """
    if not text:
        return _disarmed
    armed_point, count, action, *more = [*text.split(":"), *["1", "kill"][max(0, text.count(":")) :]]
    points = SERVICE_POINTS | ARCHIVE_POINTS
    if armed_point not in points or action not in _SIGNALS or not count.isdecimal() or more:
        raise ValueError(f"{VARIABLE} is `point[:n[:kill|stop]]` with a point of {', '.join(sorted(points))}")
    lock, remaining = threading.Lock(), int(count)

    def kill_or_stop(point: str) -> None:
        nonlocal remaining
        if point != armed_point:
            return
        with lock:
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), _SIGNALS[action])

    return kill_or_stop


failpoint = arm(os.environ.get(VARIABLE))
