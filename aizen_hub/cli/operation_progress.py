"""Following an operation of the service from the command line, until it ends or Ctrl-C cancels it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from aizen_hub.cli.connection import api_path
from aizen_hub.cli.output import show_message
from aizen_hub.client.errors import parse_problem
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Conflict, Unavailable

_FIRST_POLLS, _FAST_SECONDS, _SLOW_SECONDS = 10, 0.1, 0.5
_UNREACHABLE_SECONDS = 60.0
"""How long the service may be away: a restart takes seconds, and another replica may have to take over."""
_OPEN = ("waiting", "running")


class OperationDisplay(Protocol):
    """Shows how far an operation is."""

    def show(self, phase: str, done: int, total: int) -> None: ...

    def close(self) -> None: ...


def follow_operation(client: SyncClient, operation: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for the end of an operation and return its result; Ctrl-C cancels it.

    Parameters
    ----------
    operation : mapping
        As the service returned it when it was started.

    Raises
    ------
    Problem
        Of the operation, or `Unavailable` if the service is away for too long.
    click.Abort
        It was cancelled, and nothing was changed.
    """
    view = progress_view()
    try:
        try:
            ended = _wait(client, operation, view)
        except KeyboardInterrupt:
            view.close()
            ended = _cancel(client, operation["id"])
    finally:
        view.close()
    if ended["state"] == "succeeded":
        result: dict[str, Any] = ended["result"]
        return result
    problem = ended["problem"]
    if ended["state"] == "cancelled":
        show_message(problem["detail"])
        raise click.Abort
    raise parse_problem(int(problem["status"]), json.dumps(problem).encode())


def progress_view() -> OperationDisplay:
    """Return the view for where stderr goes: a terminal, or a log."""
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()


def _wait(client: SyncClient, operation: Mapping[str, Any], view: OperationDisplay) -> Mapping[str, Any]:
    polls, away_since = 0, None
    while operation["state"] in _OPEN:
        progress = operation["progress"]
        view.show(progress["phase"], progress["done"], progress["total"])
        time.sleep(_FAST_SECONDS if polls < _FIRST_POLLS else _SLOW_SECONDS)
        polls += 1
        try:
            operation = client.get(api_path("operations", operation["id"]))
            away_since = None
        except Unavailable:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _UNREACHABLE_SECONDS:
                raise
    return operation


def _cancel(client: SyncClient, operation_id: str) -> Mapping[str, Any]:
    show_message("cancelling …")
    with suppress(Conflict):  # it has ended, or taken effect, meanwhile: its end tells
        client.request("DELETE", api_path("operations", operation_id))
    return _wait(client, client.get(api_path("operations", operation_id)), LineProgress())


class LineProgress:
    """Writes a line for each phase, and for each tenth of a long one, for logs."""

    def __init__(self) -> None:
        self._shown: tuple[str, int] | None = None

    def show(self, phase: str, done: int, total: int) -> None:
        step = (phase, 10 * done // total if total else 0)
        if step == self._shown:
            return
        self._shown = step
        show_message(f"{phase}: {done:,} of {total:,} ({100 * done // total} %)" if total and done else phase)

    def close(self) -> None:
        return None


class TerminalProgress:
    """Shows a bar on a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None

    def show(self, phase: str, done: int, total: int) -> None:
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(phase)
        # Without a total the bar only moves.
        self._progress.update(self._task, description=phase, completed=done, total=total or None)

    def close(self) -> None:
        self._progress.stop()
