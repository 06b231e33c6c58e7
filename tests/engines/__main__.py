"""``python -m tests.engines ENGINE``; ends with ``N passed, 0 failed`` and status 0, or 1 if a step failed."""

from __future__ import annotations

import argparse
import sys

import click

from aizen_hub.demo.step_counter import StepCounter
from tests.conftest import TIERS
from tests.engines.demonstration import demonstrate, docker_engine, kubernetes_engine, slurm_engine

ENGINES = {"slurm": slurm_engine, "docker": docker_engine, "kubernetes": kubernetes_engine}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo-engines ENGINE=", description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    name = parser.parse_args().engine
    missing = TIERS[name]()
    if missing is not None:
        click.echo(f"{name} cannot run here: {missing}", err=True)
        return 1
    steps = StepCounter()
    steps.heading(f"{name} and a hub start")
    with ENGINES[name]() as engine:
        with steps.group("the demonstration"):
            demonstrate(engine, steps)
        steps.heading("everything stops")
    click.echo(f"\n{steps}, in {steps.seconds:.0f} s")
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main())
