"""Counter of passed and failed steps, with progress output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from aizen_hub.demo.browser import BrowserError
from aizen_hub.problems import Problem


class StepFailedError(AssertionError):
    """A step did not have the expected result; the message describes the actual one."""


class StepCounter:
    """The passed and failed steps of one check."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self._started_at = time.monotonic()

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Run one step; an error in it is counted and printed, and the check continues."""
        with self.group(description):
            yield
            self.passed += 1
            self._report("ok", description)

    @contextmanager
    def group(self, description: str) -> Iterator[None]:
        """Run several steps; an error between them skips the rest, and is counted and printed."""
        try:
            yield
        except (StepFailedError, BrowserError, Problem, OSError) as error:
            self.failed += 1
            self._report("FAILED", description)
            click.echo(f"            {error}"[:1500])

    def heading(self, title: str) -> None:
        click.echo(f"{self.seconds:6.1f} s  {title}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started_at

    def _report(self, result: str, description: str) -> None:
        click.echo(f"{self.seconds:6.1f} s    {result:6} {description}")

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


def expect(condition: object, message: str) -> None:
    """Raise StepFailedError with the message unless the condition holds."""
    if not condition:
        raise StepFailedError(message)
