"""One measured figure, and the table of them."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """What was measured.

    Attributes
    ----------
    target : str or None
        ``at least N`` or ``at most N`` in the figure's own unit; None for what only other figures are measured against.
    ratio_of : str or None
        For a ratio: the name of the figure that it is a multiple of, measured in the same run.
    """

    name: str
    figure: float
    unit: str
    target: str | None = None
    ratio_of: str | None = None

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        bound, _, number = self.target.rpartition(" ")
        if bound not in ("at least", "at most"):
            raise ValueError(f"`{self.target}` is no target")
        return self.figure >= float(number) if bound == "at least" else self.figure <= float(number)


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as aligned lines."""
    rows = [("figure", "", "unit", "target", "ratio of", "met")]
    rows += [
        (
            one.name,
            _number(one.figure),
            one.unit,
            one.target or "",
            one.ratio_of or "",
            {None: "", True: "yes", False: "NO"}[one.met],
        )
        for one in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def write(path: Path, figures: Iterable[Figure]) -> None:
    path.write_text(json.dumps([{**asdict(one), "met": one.met} for one in figures], indent=1) + "\n", encoding="utf-8")


def machine(folder: Path) -> str:
    """Say which machine this is, since only ratios can be compared between machines."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (
        f"{len(os.sched_getaffinity(0))} x {model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {circumstances(folder)}"
    )


def circumstances(folder: Path) -> str:
    """Say how busy it is now, and how long its disk takes to make a page durable: no audit row is quicker than that."""
    return f"load {os.getloadavg()[0]:.1f}, fdatasync {_sync_milliseconds(folder):.2f} ms"


def _sync_milliseconds(folder: Path) -> float:
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
