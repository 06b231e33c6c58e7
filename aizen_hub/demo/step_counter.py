"""Counting what works, and saying so while it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from aizen_hub.demo.browser import BrowserError
from aizen_hub.problems import Problem


class Missed(AssertionError):
    """A step did not show what it must; the message says what it showed instead."""


class Tally:
    """Passed and failed steps of one check."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self._begun = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step; what goes wrong inside is counted and told, and the check goes on."""
        with self.whole(what):
            yield
            self.passed += 1
            self._line("ok", what)

    @contextmanager
    def whole(self, what: str) -> Iterator[None]:
        """Several steps; what goes wrong between them ends them, and is counted and told."""
        try:
            yield
        except (Missed, BrowserError, Problem, OSError) as error:
            self.failed += 1
            self._line("FAILED", what)
            click.echo(f"            {error}"[:1500])

    def part(self, title: str) -> None:
        click.echo(f"{self.seconds:6.1f} s  {title}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def _line(self, mark: str, what: str) -> None:
        click.echo(f"{self.seconds:6.1f} s    {mark:6} {what}")

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


def expect(true: object, sentence: str) -> None:
    """Raise Missed with the sentence unless the condition holds."""
    if not true:
        raise Missed(sentence)
