"""The check of this machine's clock: with an error of more than 30 seconds no token is issued (R135).

With PostgreSQL the clock of the database is the reference. With SQLite there is none, but a jump is detected: the date
moves against the boot clock, which cannot be set. A jump is accepted once the kernel has reported for a while that NTP
synchronises the clock: then it was a correction, as after a pause of a virtual machine.
"""

from __future__ import annotations

import ctypes
import math
import struct
import time
from datetime import UTC, datetime

from aizen_hub.problems import Unavailable

MAX_OFFSET_SECONDS = 30.0
FORGIVE_AFTER_SECONDS = 120.0
REMEDY = "correct the clock, preferably with NTP, or restart the service if it is right now"
_UNSYNCHRONISED, _NANO = 0x40, 0x2000  # adjtimex(2): STA_UNSYNC, STA_NANO
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # continues while the machine sleeps


class ClockCheck:
    """Monitors the clock of this machine.

    Parameters
    ----------
    shared : bool
        Whether the store has a clock of its own (PostgreSQL).
    """

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._base = _wall_clock() - _boot_clock()
        self._offset = 0.0
        self._off_since: float | None = None

    def compare_with_store(self, store: datetime) -> None:
        """Compare with the store's time, which was read just now."""
        if self._shared:
            self._offset = (datetime.now(UTC) - store).total_seconds()

    @property
    def offset(self) -> float:
        """Seconds by which this clock is ahead of the store's, or jumped ahead since the start."""
        return self._offset if self._shared else _wall_clock() - _boot_clock() - self._base

    @property
    def fault(self) -> str | None:
        """Why no token may be issued now, as a sentence; None if the clock is right."""
        offset = self.offset
        if abs(offset) <= MAX_OFFSET_SECONDS:
            self._off_since = None
            return None
        if self._shared:
            return f"this machine's clock is more than {MAX_OFFSET_SECONDS:.0f} s off the store's"
        if self._off_since is None:
            self._off_since = _boot_clock()
        if _boot_clock() - self._off_since > FORGIVE_AFTER_SECONDS and kernel_ntp_status()[0] == 1:
            self._base, self._off_since = _wall_clock() - _boot_clock(), None
            return None
        return f"this machine's clock jumped by {offset:.0f} s"

    def check(self) -> None:
        """Refuse to issue tokens with a wrong clock.

        Raises
        ------
        Unavailable
        """
        fault = self.fault
        if fault is not None:
            raise Unavailable(fault, remedy=REMEDY)


def kernel_ntp_status() -> tuple[float, float]:
    """Return whether NTP synchronises the kernel's clock (1, 0, or NaN if unknown), and its offset from NTP in seconds.

    Source: adjtimex(2).
    """
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    timex = ctypes.create_string_buffer(512)  # struct timex, with mode 0: read only
    if adjtimex is None or adjtimex(timex) < 0:
        return math.nan, math.nan
    offset, status = struct.unpack_from("@l", timex, 8)[0], struct.unpack_from("@i", timex, 40)[0]
    return float(not status & _UNSYNCHRONISED), offset / (1e9 if status & _NANO else 1e6)


def _wall_clock() -> float:
    return time.time()


def _boot_clock() -> float:
    return time.clock_gettime(_BOOT)
