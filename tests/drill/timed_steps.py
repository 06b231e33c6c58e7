"""The steps of a drill with the seconds that each took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from aizen_hub.demo.step_counter import StepCounter
from aizen_hub.problems import Problem

_MAX_MESSAGE = 3_000


class DrillAbortedError(Exception):
    """A step failed; the steps after it build on it."""


class TimedSteps(StepCounter):
    """Counts passed and failed steps, and prints each with its own seconds and what it measured."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = time.monotonic()
        self._notes: list[str] = []

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Run one step.

        Raises
        ------
        DrillAbortedError
            It failed, which is counted and printed.
        """
        self._begun, self._notes = time.monotonic(), []
        try:
            yield
        except (AssertionError, Problem, OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.failed += 1
            self._report("FAILED", description)
            click.echo(f"            {error}"[:_MAX_MESSAGE])
            raise DrillAbortedError from error
        self.passed += 1
        self._report("ok", description)

    def note(self, text: str) -> None:
        """Add a figure to the line of the current step."""
        self._notes.append(text)

    def heading(self, title: str) -> None:
        click.echo(f"\n{title}")

    def _report(self, result: str, description: str) -> None:
        notes = f" ({', '.join(self._notes)})" if self._notes else ""
        click.echo(f"{time.monotonic() - self._begun:6.1f} s  {result:6} {description}{notes}")
