"""Health of the checkpoint file; if the audit could not be signed for too long, nothing is decided (R7, R96).

Records written after the last checkpoint could be deleted undetected, so the time without a checkpoint is bounded.
"""

from __future__ import annotations

import time

from aizen_hub.audit.checkpoints.checkpoint import CheckpointSetBackError

_REMEDY_WRITE = (
    "make sure that the service's account can write to `checkpoint_file` and that its disk is mounted and not full;"
    " decisions resume by themselves"
)
_REMEDY_SET_BACK = (
    "put the newest copy of `checkpoint_file` back, and decisions resume by themselves; if there is none, restart the"
    " service: it goes on after the last line, and nothing proves any more what the lost lines signed"
)
_REMEDY_LOG = "see the service's log, task `checkpoint`; decisions resume by themselves"


class CheckpointHealth:
    """Tracks the time since the chain heads were last signed, or found unchanged.

    Parameters
    ----------
    grace : float
        Seconds for which decisions continue without a checkpoint. A process that has not written one since its start
        gets no grace, so that restarts do not extend it.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._last_success = _now()
        self._has_succeeded = False
        self._error: str | None = None
        self._remedy = _REMEDY_WRITE

    @property
    def age(self) -> float:
        """Seconds since the last success, or since the start."""
        return _now() - self._last_success

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed, or none was made yet."""
        return self._error is not None or not self._has_succeeded

    @property
    def fault(self) -> str | None:
        """Why nothing may be decided, as a sentence that does not change with time; None if decisions may go on."""
        late, error = self.age > self._grace, self._error
        if error is not None and (late or not self._has_succeeded):
            return f"the audit cannot be signed: {error}"
        return f"the audit was not signed for more than {self._grace:.0f} s" if late else None

    @property
    def remedy(self) -> str:
        """What resolves `fault`."""
        return _REMEDY_LOG if self._error is None else self._remedy

    def start(self) -> float:
        """Return the time at which the heads are read, to pass to `succeeded`."""
        return _now()

    def succeeded(self, started: float) -> None:
        """Note that everything recorded until ``started`` is signed."""
        self._last_success, self._has_succeeded, self._error = started, True, None

    def failed(self, error: OSError) -> None:
        """Note that the file could not be written, or was set back.

        Parameters
        ----------
        error : OSError
            Its reason is shown by the health check, which needs no login; its path is not.
        """
        if isinstance(error, CheckpointSetBackError):
            self._error, self._remedy = f"its checkpoint file was set back: {error}", _REMEDY_SET_BACK
            return
        reason = (error.strerror or str(error) or type(error).__name__).lower()
        self._error, self._remedy = f"its checkpoint file cannot be written: {reason}", _REMEDY_WRITE


def _now() -> float:
    # Does not count while the machine is suspended, when nothing is recorded either.
    return time.monotonic()
