"""``python -m tests.benchmarks.scale``: what many sessions cost, and what replicas and PostgreSQL carry.

The figures are also in ``bench-scale.json``, after each step. Costs are processor times, which other work on the
machine changes less than anything else; rates and latencies are those of this machine, which the load generators share.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.figure import describe_load, describe_machine
from tests.benchmarks.scale.capacity import format_capacity
from tests.benchmarks.scale.cost import format_costs
from tests.benchmarks.scale.measurement import DECISIONS_AN_HOUR, Measurement, Report, Scale

QUICK = Scale(
    sessions=200, starts=40, passwords=4, heartbeats=2, pages=6, connections=8, step_seconds=2, steady_seconds=5
)
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CARRIED_BY = ("login", "start", "renewal", "decision", "page", "heartbeat")


def missing() -> str | None:
    """Say what this machine lacks, or None."""
    from tests.conftest import TIERS

    return TIERS["postgres"]()


def measure(scale: Scale, output: Path) -> tuple[Report, bool]:
    """Measure; returns what was measured, and whether that is all.

    What is known is written to ``output`` after each step, so that nothing is lost to a later failure.
    """
    from tests.benchmarks.scale.installation import running_installation

    report, complete = Report(), False
    # The stand-in for the hub answers what a hub answers; other requests of the replicas are of no interest.
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)

    def write() -> None:
        document = {"scale": asdict(scale), **asdict(report), "complete": complete}
        output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory(prefix="aizen-scale-") as name:
        folder = Path(name)
        report.machine = describe_machine(folder)
        print(report.machine, flush=True)
        try:
            with running_installation(folder, scale.sessions, scale.starts, scale.deadline_seconds) as here:
                Measurement(here, scale, report, write).run()
            complete = True
        except Exception:  # noqa: BLE001 - printed and counted as failed; what was measured is shown
            traceback.print_exc()
        print(f"at the end: {describe_load(folder)}", flush=True)
    write()
    return report, complete


def describe(report: Report, scale: Scale) -> str:
    """Return the tables of what was measured."""
    alone = [cost for name, cost in report.costs.items() if not name.startswith("steady ") and name != "page"]
    steady = [cost for name, cost in report.costs.items() if name.startswith("steady ")]
    parts = [format_costs(alone)] if alone else []
    if steady:
        intro = (
            f"{scale.sessions:,} sessions for {scale.steady_seconds:.0f} s, {DECISIONS_AN_HOUR} decisions an hour each"
        )
        lines = [
            f"- {cost.name}: {cost.count:,}, p50 {cost.median_ms:,.1f} ms, p99 {cost.p99_ms:,.1f} ms, slowest "
            f"{cost.slowest_ms:,.1f} ms, refused {sum(cost.refused.values())}"
            for cost in steady
        ]
        parts.append("\n".join([f"{intro}:", "", *lines]))
    if all(name in report.costs for name in CARRIED_BY):
        parts.append(format_capacity(report.costs, scale.sessions))
    parts.append(
        "\n".join(
            f"- {name}: {f'{value:,.0f}' if value >= 100 else f'{value:.2f}'}" for name, value in report.facts.items()
        )
    )
    return "\n\n".join(parts)


def fill_in(document: Path, text: str) -> None:
    """Replace what a page says of the last measurement."""
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{document} has no lines `{BEGIN}` and `{END}`")
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK.sessions} sessions: whether it works, no figures")
    parser.add_argument("--output", type=Path, default=Path("bench-scale.json"), help="default: bench-scale.json")
    parser.add_argument("--document", type=Path, help="write the tables into this page too, such as deploy/SCALING.md")
    options = parser.parse_args()
    if (reason := missing()) is not None:
        raise SystemExit(f"this machine lacks {reason}; `.ci/system-packages` installs the programs where it may")
    scale = QUICK if options.quick else Scale()
    report, complete = measure(scale, options.output)
    text = describe(report, scale)
    print(text)
    if complete and options.document is not None:
        fill_in(options.document, f"On {report.machine}.\n\n{text}")
    if not complete:
        print("\nthe measurement broke off; what was measured before is above", file=sys.stderr)
    return 0 if complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
