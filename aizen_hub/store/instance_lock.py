"""The lock that allows one service instance per embedded database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store.database import database_url, sqlite_path


class InstanceRunningError(ConfigurationError):
    """Another service instance uses this database; the message names its process."""


class InstanceLock:
    """An exclusive lock on a file next to the database, held until `release` or the end of the process.

    The kernel releases it however the process ends, so it is never stale. The file itself is kept: if it were removed,
    two processes could lock two files of the same name. Operator commands do not acquire it.

    Parameters
    ----------
    path : Path
        The lock file, which holds the pid of the process; created if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @classmethod
    def for_settings(cls, settings: Settings) -> Self | None:
        """Return the lock of the configured database; None for a database that several instances may share."""
        if not settings.uses_sqlite:
            return None
        path = sqlite_path(database_url(settings.database_url))
        return cls(path.with_name(path.name + ".lock"))

    def acquire(self) -> None:
        """Acquire the lock without waiting.

        Raises
        ------
        InstanceRunning
            Another process holds it.
        """
        if self._descriptor is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise InstanceRunningError(
                f"another aizen-hub service (process {holder}) runs on this database, see {self.path};"
                " stop it, or give this one its own `data_dir`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
