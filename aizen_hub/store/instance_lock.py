"""One service instance per embedded database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store.database import database_url, sqlite_path


class InstanceRunning(ConfigurationError):
    """Another service instance has this database; names its process."""


class InstanceLock:
    """An exclusive lock on a file beside the database, held until `release` or the end of the process.

    The kernel frees it however the process ends, so that no stale lock is left; the file itself stays, since removing
    it would let two processes lock two files of one name. Operator commands do not take it.

    Parameters
    ----------
    path : Path
        The lock file; made if it is missing, with the pid of the holder in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @classmethod
    def beside(cls, settings: Settings) -> Self | None:
        """Return the lock of the settings' database; None for a database that several instances may share."""
        if not settings.embedded:
            return None
        path = sqlite_path(database_url(settings.database_url))
        return cls(path.with_name(path.name + ".lock"))

    def acquire(self) -> None:
        """Take the lock at once or not at all.

        Raises
        ------
        InstanceRunning
            Somebody has it.
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
            raise InstanceRunning(
                f"another aizen-hub service (process {holder}) runs on this database, see {self.path};"
                " stop it, or give this one its own `data_dir`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
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
