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
    cpu_microseconds : float or None
        Processor time of the measured server for one answer, in µs.
    peak_megabytes : float or None
        The most memory that the measured server has had so far, in MB (10^6 bytes).
    """

    name: str
    figure: float
    unit: str
    target: str | None = None
    ratio_of: str | None = None
    cpu_microseconds: float | None = None
    peak_megabytes: float | None = None

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        bound, _, number = self.target.rpartition(" ")
        if bound not in ("at least", "at most"):
            raise ValueError(f"`{self.target}` is not a target")
        return self.figure >= float(number) if bound == "at least" else self.figure <= float(number)


def format_table(figures: Iterable[Figure]) -> str:
    """Return the figures as aligned lines; a column that no figure fills is left out."""
    rows = [("figure", "", "unit", "target", "ratio of", "CPU µs each", "peak MB", "met")]
    rows += [
        (
            figure.name,
            _number(figure.figure),
            figure.unit,
            figure.target or "",
            figure.ratio_of or "",
            "" if figure.cpu_microseconds is None else _number(figure.cpu_microseconds),
            "" if figure.peak_megabytes is None else _number(figure.peak_megabytes),
            {None: "", True: "yes", False: "NO"}[figure.met],
        )
        for figure in figures
    ]
    columns = [column for column in range(len(rows[0])) if column <= 1 or any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    return "\n".join(
        "  ".join(
            row[column].rjust(widths[column]) if column in (1, 5, 6) else row[column].ljust(widths[column])
            for column in columns
        ).rstrip()
        for row in rows
    )


def write(path: Path, figures: Iterable[Figure]) -> None:
    document = [{**asdict(figure), "met": figure.met} for figure in figures]
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def describe_machine(folder: Path) -> str:
    """Return one line about this machine, since only ratios can be compared between machines."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    version = platform.release().partition("-")[0]  # without the name of a build
    return (
        f"{len(os.sched_getaffinity(0))} x {model}, {platform.system()} {version}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {describe_load(folder)}"
    )


def describe_load(folder: Path) -> str:
    """Return the load and how long the disk takes to make a page durable, the lower bound of an audit row."""
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
