"""Points between deciding, committing and answering at which a test may stop this very process (T-45).

A crash matters most where it is least likely: between two statements. A fault test names such a point in
``AIZEN_TEST_KILL_AT`` before it starts the service, as ``point``, ``point:n`` (the nth time, the first by default) or
``point:n:stop`` (stopped with SIGSTOP instead of killed, until somebody lets it go on). Without the variable,
`reached` is an empty function; whoever can set the variable could kill the process anyway.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

VARIABLE = "AIZEN_TEST_KILL_AT"
POINTS = frozenset({"begun", "decided", "changed", "before-commit", "after-commit", "before-answer"})
SEALING = frozenset({"segment-written", "sealed", "removed"})  # of `aizen-hub audit seal`
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _nothing(point: str) -> None:
    """Go on."""


def armed(text: str | None) -> Callable[[str], None]:
    """Return the function to call at every point, for a value of the variable.

    Raises
    ------
    ValueError
        The value names no point: a test that kills nothing would prove nothing.
    """
    if not text:
        return _nothing
    wanted, number, how, *more = [*text.split(":"), *["1", "kill"][max(0, text.count(":")) :]]
    if wanted not in POINTS | SEALING or how not in _SIGNALS or not number.isdecimal() or more:
        raise ValueError(f"{VARIABLE} is `point[:n[:kill|stop]]` with a point of {', '.join(sorted(POINTS | SEALING))}")
    guard, left = threading.Lock(), int(number)

    def reached(point: str) -> None:
        nonlocal left
        if point != wanted:
            return
        with guard:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), _SIGNALS[how])

    return reached


reached = armed(os.environ.get(VARIABLE))
