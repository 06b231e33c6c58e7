"""How far this machine's clock can be trusted: beyond 30 seconds nothing is minted (R135).

With a shared database the store's clock is the measure. With an embedded one there is no other clock, but a jump is
seen: the date moves against a clock that nobody can set. A jump is forgiven once the kernel has said for a while that
the time is kept by NTP: then it was a correction, as after a pause of a virtual machine.
"""

from __future__ import annotations

import ctypes
import math
import struct
import time
from datetime import UTC, datetime

from aizen_hub.problems import Unavailable

MOST_OFF = 30.0
FORGIVEN_AFTER = 120.0
REMEDY = "set the clock right, best by NTP, or restart the service if it is right now"
_UNSYNCHRONISED, _NANO = 0x40, 0x2000  # adjtimex(2): STA_UNSYNC, STA_NANO
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps


class Clock:
    """Watches the clock of this process.

    Parameters
    ----------
    shared : bool
        Whether the store has a clock of its own.
    """

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._base = _date() - _steady()
        self._offset = 0.0
        self._off_since: float | None = None

    def look(self, store: datetime) -> None:
        """Compare with the store's time, read just now."""
        if self._shared:
            self._offset = (datetime.now(UTC) - store).total_seconds()

    @property
    def offset(self) -> float:
        """Seconds by which this clock is ahead of the store's, or jumped ahead since the start."""
        return self._offset if self._shared else _date() - _steady() - self._base

    @property
    def fault(self) -> str | None:
        """Why nothing should be minted now, as a sentence."""
        offset = self.offset
        if abs(offset) <= MOST_OFF:
            self._off_since = None
            return None
        if self._shared:
            return f"this machine's clock is more than {MOST_OFF:.0f} s off the store's"
        if self._off_since is None:
            self._off_since = _steady()
        if _steady() - self._off_since > FORGIVEN_AFTER and kernel()[0] == 1:
            self._base, self._off_since = _date() - _steady(), None
            return None
        return f"this machine's clock jumped by {offset:.0f} s"

    def check(self) -> None:
        """Refuse to mint with a clock that is off.

        Raises
        ------
        Unavailable
        """
        fault = self.fault
        if fault is not None:
            raise Unavailable(fault, remedy=REMEDY)


def kernel() -> tuple[float, float]:
    """Return whether the kernel says that NTP keeps its clock (1, 0, or NaN where it says nothing), and the seconds by
    which it is off by NTP's measure."""
    call = getattr(ctypes.CDLL(None), "adjtimex", None)
    timex = ctypes.create_string_buffer(512)  # struct timex, with mode 0: only read
    if call is None or call(timex) < 0:
        return math.nan, math.nan
    offset, status = struct.unpack_from("@l", timex, 8)[0], struct.unpack_from("@i", timex, 40)[0]
    return float(not status & _UNSYNCHRONISED), offset / (1e9 if status & _NANO else 1e6)


def _date() -> float:
    return time.time()


def _steady() -> float:
    return time.clock_gettime(_BOOT)
