"""The end of a managed service with its hub: PR_SET_PDEATHSIG."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


class StartupError(RuntimeError):
    """The service must not start; the message says why and what to do."""


def end_with_parent(parent: int) -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies, for whatever reason.

    Parameters
    ----------
    parent : int
        The parent's pid, read as early as possible: the parent may already be gone.

    Raises
    ------
    StartupError
        The parent died meanwhile, or this system has no such signal.
    """
    if not sys.platform.startswith("linux"):
        raise StartupError(
            "a service that the hub starts needs Linux, where it can end with the hub; set `service: {managed: false}` "
            "in aizen.yaml and run `aizen-hub serve`, see docs/separate-service.md"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise StartupError(f"cannot be tied to the hub's process: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        raise StartupError("the hub ended while the service started")
