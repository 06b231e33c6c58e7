"""Health of the checkpoints; if the audit could not be signed for too long, nothing is decided (R7, R96).

Records written after the last checkpoint could be deleted undetected, so the time without a checkpoint is bounded.
"""

from __future__ import annotations

import time

from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointSetBackError, CheckpointStorage

_REMEDY_LOG = "see the service's log, task `checkpoint`; decisions resume by themselves"


class CheckpointHealth:
    """Tracks the time since the chain heads were last signed, or found unchanged.

    Parameters
    ----------
    grace : float
        Seconds for which decisions continue without a checkpoint. A process that has not written one since its start
        gets no grace, so that restarts do not extend it.
    storage : CheckpointStorage
        Where checkpoints are written.
    """

    def __init__(self, grace: float, storage: CheckpointStorage) -> None:
        self._grace, self._storage = grace, storage
        self._last_success = _now()
        self._has_succeeded = False
        self._error: str | None = None
        self._remedy = storage.write_remedy

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
        """Note that the storage could not be written, or was set back.

        Parameters
        ----------
        error : OSError
            Its reason is shown by the health check, which needs no login; its path is not.
        """
        storage = self._storage
        if isinstance(error, CheckpointSetBackError):
            self._error, self._remedy = f"its {storage.name} was set back: {error}", storage.set_back_remedy
            return
        self._error, self._remedy = f"its {storage.name} cannot be written: {reason_of(error)}", storage.write_remedy


def reason_of(error: OSError) -> str:
    """Return why a storage cannot be used, without its path or address."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def _now() -> float:
    # Does not count while the machine is suspended, when nothing is recorded either.
    return time.monotonic()
