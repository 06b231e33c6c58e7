"""Whether the audit still reaches its second place, the file of checkpoints; without it nothing is decided (R7, R96).

What was recorded since the last checkpoint could be cut off unseen, so the time for which that may go on is bounded.
"""

from __future__ import annotations

import time

_MEND = (
    "give the service's account room and the right to write where `checkpoint_file` points, or bring that disk back;"
    " it goes on by itself"
)
_LOOK = "the service's log says more, at the task `checkpoint`; it goes on by itself"


class Sink:
    """Counts the time since the heads of the audit were last signed, or found unmoved.

    Parameters
    ----------
    grace : float
        Seconds for which decisions go on without. A process that could not write since it was started gets none, so
        that starting it again and again does not stretch them.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._since = _now()
        self._reached = False
        self._why: str | None = None

    @property
    def age(self) -> float:
        """Seconds since it was last reached, or since the start."""
        return _now() - self._since

    @property
    def failing(self) -> bool:
        """Whether the last try failed, or none was made yet."""
        return self._why is not None or not self._reached

    @property
    def fault(self) -> str | None:
        """Why nothing should be decided now, as a sentence that stays the same while nothing changes."""
        late, why = self.age > self._grace, self._why
        if why is not None and (late or not self._reached):
            return f"the audit cannot be signed, since its checkpoint file cannot be written: {why}"
        return f"the audit was not signed for more than {self._grace:.0f} s" if late else None

    @property
    def remedy(self) -> str:
        """What helps against `fault`."""
        return _LOOK if self._why is None else _MEND

    def begin(self) -> float:
        """Return what `reached` wants to know: when the heads that will be signed were looked at."""
        return _now()

    def reached(self, begun: float) -> None:
        """Note that whatever was recorded until then is signed."""
        self._since, self._reached, self._why = begun, True, None

    def failed(self, error: OSError) -> None:
        """Note that the file could not be written.

        Parameters
        ----------
        error : OSError
            Its reason is told to anybody who asks for health; its path is not.
        """
        self._why = (error.strerror or str(error) or type(error).__name__).lower()


def _now() -> float:
    # Not while the machine sleeps: then nothing is recorded either.
    return time.monotonic()
