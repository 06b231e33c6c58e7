"""``python -m tests.drill``; ends with ``N passed, 0 failed`` and status 0, or 1 if a step failed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import click

from tests.conftest import TIERS
from tests.drill import embedded, replicated
from tests.drill.timed_steps import DrillAbortedError, TimedSteps

PARTS = {"embedded": embedded.run_drill, "replicated": replicated.run_drill}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part")
    options = parser.parse_args()
    steps = TimedSteps()
    for name, run_part in PARTS.items():
        if options.only not in (None, name):
            continue
        missing = TIERS["postgres"]() if name == "replicated" else None
        if missing is not None:
            click.echo(f"\nleft out, {name}: {missing}")
            continue
        with tempfile.TemporaryDirectory(prefix="aizen-drill-") as folder:
            try:
                run_part(Path(folder) / "installation", steps)
            except DrillAbortedError:
                click.echo("            the rest of this part was left out")
    click.echo(f"\n{steps}, in {steps.seconds:.0f} s")
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main())
