"""A managed service ends with its hub, and only one serves a SQLite file."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
from pathlib import Path
from types import TracebackType

_PR_SET_PDEATHSIG = 1


class StartRefused(RuntimeError):
    """The service must not start; the message says why and what to do."""


def end_with_parent(parent: int) -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies, however that dies.

    Parameters
    ----------
    parent : int
        The parent's pid, read as early as possible: the parent may already be gone.

    Raises
    ------
    StartRefused
        The parent died meanwhile, or this system has no such signal.
    """
    if not sys.platform.startswith("linux"):
        raise StartRefused("a managed service needs Linux, where it can end with the hub; run `aizen-hub serve` unmanaged instead")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise StartRefused(f"cannot follow the hub's life: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        raise StartRefused("the hub ended while the service started")


class ExclusiveLock:
    """An advisory lock on a file beside the database, held while this process lives; the kernel frees it at any death."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __enter__(self) -> ExclusiveLock:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StartRefused(
                f"another service (process {holder or 'unknown'}) already serves the database beside {self.path}: stop it, or "
                "give this one its own `data_dir`; several services at once need `database: postgresql+psycopg://…`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
