"""Settings of the interpreter while an operation runs, so that the threads of decisions are not kept waiting."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH_SECONDS = 0.0005
_NEVER = 1_000_000


class InterpreterSettings:
    """Two settings of this process, changed while there are operations.

    A thread that computes gives the interpreter away after 5 ms. A decision needs it about ten times, once for each
    call of the database, so that beside an operation it would take 50 ms: meanwhile the interval is 0.5 ms.

    A policy of 20,000 assignments is some hundred thousand new objects, for which the interpreter would visit all of
    its objects several times, a tenth of a second each time. Hardly any of them is part of a cycle: they are freed when
    they are no longer used. Such *full* garbage collections are postponed; those of young objects go on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._switch_interval = sys.getswitchinterval()
        self._thresholds = gc.get_threshold()

    @contextmanager
    def for_operation(self) -> Iterator[None]:
        """Keep the settings of operations until the last of these blocks ends."""
        with self._lock:
            if not self._users:
                self._switch_interval, self._thresholds = sys.getswitchinterval(), gc.get_threshold()
                sys.setswitchinterval(_SWITCH_SECONDS)
                gc.set_threshold(*self._thresholds[:2], _NEVER)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    sys.setswitchinterval(self._switch_interval)
                    gc.set_threshold(*self._thresholds)


INTERPRETER = InterpreterSettings()
"""Of this process."""
