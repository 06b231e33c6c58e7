"""``python -m tests.benchmarks``: every figure of the speed table, beside its target; also in ``bench.json``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aizen_hub.settings import Settings
from tests.benchmarks import deciding, flooding, postgres, serving, signing_in
from tests.benchmarks.figure import Figure, circumstances, machine, table, write
from tests.benchmarks.install import LARGE, MIDDLE, Size


def measure(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    yield from deciding.measure(folder, large=large)
    settings = Settings(data_dir=folder / str(large.assignments), admin_user="local:root")
    yield from serving.measure(folder, settings, large, seconds=seconds)
    yield from flooding.measure(folder / "flooding", seconds=2 * seconds)
    yield from postgres.measure(folder / "postgres", seconds=seconds, longest=60 * seconds)
    (folder / "signing-in").mkdir()
    yield from signing_in.measure(folder / "signing-in")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="50,000 assignments instead of 1,000,000, and short rounds"
    )
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="default: bench.json")
    options = parser.parse_args()
    size, seconds = (MIDDLE, 1.0) if options.quick else (LARGE, 4.0)
    with tempfile.TemporaryDirectory(prefix="aizen-bench-") as folder:
        print(machine(Path(folder)), flush=True)
        figures = list(measure(Path(folder), size, seconds))
        print(f"at the end: {circumstances(Path(folder))}")
    print(table(one for one in figures if one.target is not None))
    print("\nMeasured against, or besides:")
    print(table(one for one in figures if one.target is None))
    write(options.output, figures)
    missed = [one for one in figures if one.met is False]
    print(f"\n{len(missed)} of {sum(one.met is not None for one in figures)} targets missed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
