"""``python -m tests.benchmarks``: every figure of the speed table beside its target; also in ``bench.json``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.figure import Figure, describe_load, describe_machine, format_table, write
from tests.benchmarks.install import LARGE, MIDDLE, Size


@dataclass(frozen=True)
class Scenario:
    """One group of figures that is measured, and can fail, on its own.

    Attributes
    ----------
    tiers : tuple of str
        What it needs on this machine, as the test suite names it.
    packages : tuple of str
        Python packages that it imports beside those of the product.
    measure : callable
        Yields the figures; gets the folder of the run, the size of the large store and the seconds of one round.
    """

    name: str
    measure: Callable[[Path, Size, float], Iterator[Figure]]
    tiers: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Say what this machine lacks for it, or None."""
        from importlib.util import find_spec

        from tests.conftest import TIERS

        reasons = [reason for tier in self.tiers if (reason := TIERS[tier]()) is not None]
        reasons += [f"no Python package {package}" for package in self.packages if find_spec(package) is None]
        return "; ".join(reasons) or None


def _engine(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import engine

    yield from engine.measure(folder, large=large)


def _service(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import install, service

    settings = install.build(folder / str(large.assignments), large)
    yield from service.measure(folder, settings, large, seconds=seconds)


def _authzen(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import authzen, install

    (folder / "authzen").mkdir()
    settings = install.build(folder / str(large.assignments), large)
    yield from authzen.measure(folder / "authzen", settings, large, seconds=seconds)


def _notebook(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import notebook

    (folder / "notebook").mkdir()
    yield from notebook.measure(folder / "notebook")


def _flood(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import flood

    yield from flood.measure(folder / "flood", seconds=2 * seconds)


def _panel(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import panel

    yield from panel.measure(folder / "panel", large)


def _policy(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import install, policy

    (folder / "policy").mkdir()
    settings = install.build(folder / "policy" / str(large.assignments), large)
    yield from policy.measure(folder / "policy", settings, large, "SQLite")


def _postgres(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import postgres

    yield from postgres.measure(folder / "postgres", seconds=seconds, longest=60 * seconds)


def _sign_in(folder: Path, large: Size, seconds: float) -> Iterator[Figure]:
    from tests.benchmarks import sign_in

    (folder / "sign-in").mkdir()
    yield from sign_in.measure(folder / "sign-in")


SCENARIOS = (
    Scenario("engine", _engine, packages=("cedarpy", "casbin")),
    Scenario("service", _service, packages=("configurable_http_proxy",)),
    Scenario("authzen", _authzen),
    Scenario("notebook", _notebook),
    Scenario("flood", _flood),
    Scenario("panel", _panel),
    Scenario("policy", _policy),
    Scenario("postgres", _postgres, tiers=("postgres",)),
    Scenario("sign-in", _sign_in, tiers=("slapd",), packages=("configurable_http_proxy",)),
)


def select_scenarios(names: Iterable[str]) -> list[Scenario]:
    """Return the named scenarios, or all, in the order in which they run.

    Raises
    ------
    SystemExit
        Something that one of them needs is missing. Known before anything is measured, as a run takes minutes.
    """
    wanted = set(names)
    chosen = [scenario for scenario in SCENARIOS if not wanted or scenario.name in wanted]
    missing = {scenario.name: reason for scenario in chosen if (reason := scenario.missing()) is not None}
    if missing:
        lines = [f"  {name}: {reason}" for name, reason in missing.items()]
        others = " ".join(scenario.name for scenario in chosen if scenario.name not in missing)
        raise SystemExit(
            "\n".join(
                [
                    "these scenarios cannot run on this machine:",
                    *lines,
                    "`.ci/system-packages` installs the programs where it may"
                    + (f'; without them: make bench ARGS="--only {others}"' if others else ""),
                ]
            )
        )
    return chosen


def measure(scenarios: Iterable[Scenario], large: Size, seconds: float, output: Path) -> tuple[list[Figure], list[str]]:
    """Run the scenarios; returns the figures and the names of the scenarios that failed.

    Each figure is written to ``output`` as soon as it is known, so that nothing measured is lost to a later failure.
    """
    figures: list[Figure] = []
    failed = []
    with tempfile.TemporaryDirectory(prefix="aizen-bench-") as name:
        folder = Path(name)
        print(describe_machine(folder), flush=True)
        for scenario in scenarios:
            try:
                for figure in scenario.measure(folder, large, seconds):
                    figures.append(figure)
                    write(output, figures)
            except Exception:  # noqa: BLE001 - printed and counted as failed; the other scenarios still run
                failed.append(scenario.name)
                print(f"\nscenario {scenario.name} failed:", file=sys.stderr)
                traceback.print_exc()
        print(f"at the end: {describe_load(folder)}")
    return figures, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="50,000 assignments instead of 1,000,000, and short rounds"
    )
    parser.add_argument("--only", nargs="+", default=[], choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="default: bench.json")
    options = parser.parse_args()
    size, seconds = (MIDDLE, 1.0) if options.quick else (LARGE, 4.0)
    figures, failed = measure(select_scenarios(options.only), size, seconds, options.output)
    print(format_table(figure for figure in figures if figure.target is not None))
    print("\nWithout a target:")
    print(format_table(figure for figure in figures if figure.target is None))
    missed = [figure for figure in figures if figure.met is False]
    print(f"\n{len(missed)} of {sum(figure.met is not None for figure in figures)} targets missed")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
