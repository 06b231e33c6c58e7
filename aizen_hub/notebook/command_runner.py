"""Command runner of a kernel: sends command lines and returns renderable results."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.display.progress import LEFT_RUNNING, LOST, ProgressDisplay
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice, Renderable
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.errors import (
    AizenDenied,
    AizenError,
    CommandStillRunning,
    ProblemResponseError,
    ResponseInterruptedError,
    ServiceUnreachableError,
)
from aizen_hub.notebook.job import Job, describe_running

RETRY_SECONDS = 60.0
"""How long a command that changes nothing is sent again by itself; a service restarts within half a minute."""
_RETRY_PAUSES = (0.5, 1.0, 2.0, 4.0)
_MAY_PASS = frozenset({"down", "silent", "lost"})
"""Faults of the platform that may pass by themselves; one that is not configured, or refuses, stays as it is."""


class CommandRunner:
    """Runs commands for one kernel.

    Parameters
    ----------
    client : NotebookClient
    rich : bool
        Whether the front end can update a display in place.

    Attributes
    ----------
    plain_text : bool
        Whether commands in cells are recognized without a magic.
    last_refusal : Refusal or None
        What ``why`` explains.
    """

    def __init__(self, client: NotebookClient, *, rich: bool = True) -> None:
        self.client, self.rich = client, rich
        self.plain_text = True
        self.last_refusal: Refusal | None = None

    def run(self, line: str, *, strict: bool = False, background: bool = False) -> Renderable:
        """Run one command line and return its output; a refusal is returned, not raised.

        Parameters
        ----------
        background : bool
            Return the `Job` of a command that the platform executes as soon as it runs, instead of when it has ended.

        Raises
        ------
        AizenDenied
            In strict mode, if the command was not executed successfully.
        CommandStillRunning
            The user interrupted the cell while the command was running.
        """
        output: Renderable
        try:
            output = self._run(line, background)
        except ProblemResponseError as error:
            output = self.last_refusal = Refusal(error.document, line)
        except ResponseInterruptedError as error:
            output = Notice(str(error))
        except AizenError as error:
            output = Notice(f"{line}: {error}", "nothing was executed")
        if strict and not (isinstance(output, CommandResult) and not output.failed):
            raise AizenDenied(output.text())
        return output

    def _run(self, line: str, background: bool) -> CommandResult:
        with ProgressDisplay(line, rich=self.rich) as progress, closing(self._events(line, progress)) as events:
            progress.waiting_for = f"waiting for the access service at {self.client.url}"
            is_complete = False
            try:
                for event in events:
                    match event.get("event"):
                        case "decision":
                            is_complete = event.get("is_complete") is True
                            progress.job_id, progress.command = event.get("id"), str(event.get("canonical") or line)
                            progress.waiting_for = "it was allowed; waiting for news of the platform"
                            if background and not is_complete:
                                return Job.find(self.client, str(progress.job_id), rich=self.rich)
                        case "end":
                            return self._finish(event, progress, is_job=not is_complete)
                        case _:
                            progress.update(event)
            except KeyboardInterrupt:
                progress.finish(LEFT_RUNNING)
                raise CommandStillRunning(f"interrupted: {_describe_state(progress)}") from None
            except ResponseInterruptedError as error:
                progress.finish(LOST)
                raise ResponseInterruptedError(f"{error}; {_describe_state(progress)}") from None
            progress.finish(LOST)
            raise ResponseInterruptedError(f"the response ended early; {_describe_state(progress)}")

    def _events(self, line: str, progress: ProgressDisplay) -> Generator[dict[str, Any], None, None]:
        """Yield the events of a command; one that changes nothing is sent again while the service does not answer."""
        deadline, attempt = time.monotonic() + RETRY_SECONDS, 0
        while True:
            try:
                yield from self.client.run(line)
                return
            except (ServiceUnreachableError, ResponseInterruptedError, ProblemResponseError) as error:
                pause = _RETRY_PAUSES[min(attempt, len(_RETRY_PAUSES) - 1)]
                if not self._may_repeat(line, error, progress) or time.monotonic() + pause > deadline:
                    raise
                attempt += 1
                progress.waiting_for = f"{error}; trying again, interrupt the cell to stop"
                time.sleep(pause)

    def _may_repeat(self, line: str, error: AizenError, progress: ProgressDisplay) -> bool:
        if isinstance(error, ProblemResponseError):
            fault = error.document.get("core")
            if error.status not in (502, 503, 504) or (fault is not None and fault not in _MAY_PASS):
                return False
        catalog = self.client.cached_catalog
        match = None if catalog is None else catalog.find(line)
        return match is not None and match[0].only_reads and progress.job_id is None

    def _finish(self, event: dict[str, Any], progress: ProgressDisplay, *, is_job: bool) -> CommandResult:
        state = str(event.get("state") or "unknown")
        progress.finish(state)
        if is_job:
            view = {"id": progress.job_id, "line": progress.command, "fraction": progress.fraction}
            return Job.from_end(self.client, view, event, progress)
        result = CommandResult(
            event.get("result"),
            id=progress.job_id,
            command=progress.command,
            state=state,
            message=str(event.get("message") or ""),
            log=tuple(progress.log),
        )
        if result.data.get("renew") is True:
            # The deletion of the session's own project leaves it without one.
            os.environ["AIZEN_PROJECT"] = str(result.data.get("current_project", result.data.get("project")) or "")
        return result


def _describe_state(progress: ProgressDisplay) -> str:
    if progress.job_id is None:
        return f"`{progress.command}` may or may not have been executed; look before you repeat it"
    return describe_running(progress.command, progress.job_id)
