"""``python -m tests.faults.shifted_clock <file> aizen.yaml``: the service with a wall clock that a test sets.

The file holds the seconds by which the clock is off, and may change at any time. Only what says the date is shifted;
monotonic clocks, by which deadlines are kept, are not. That is what a jump of the system's clock
does. (libfaketime also bends the waiting of threads, which no jump of a clock does.)
"""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path
from typing import Any

_REAL = datetime.datetime
_real_time = time.time
_FILE = Path(sys.argv[1]) if len(sys.argv) == 3 else Path()


def read_shift() -> float:
    return float(_FILE.read_text(encoding="ascii"))


class _Same(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL)


class Shifted(_REAL, metaclass=_Same):
    """A `datetime` whose present is shifted."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _REAL.now(tz) + datetime.timedelta(seconds=read_shift())


def set_clock(file: Path, seconds: float) -> None:
    """Set the clock of the process that reads ``file``."""
    new = file.with_suffix(".new")
    new.write_text(str(seconds), encoding="ascii")
    new.rename(file)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python -m tests.faults.shifted_clock file aizen.yaml", file=sys.stderr)
        return 2
    datetime.datetime = Shifted  # type: ignore[misc]
    time.time = lambda: _real_time() + read_shift()
    from aizen_hub.service.server import run

    return run(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
