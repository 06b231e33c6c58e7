"""Command runner of a kernel: sends command lines and returns renderable results."""

from __future__ import annotations

import os
from typing import Any

from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.display import CommandResult, Notice, Refusal, Renderable
from aizen_hub.notebook.errors import AizenDeniedError, AizenError, ProblemResponseError, ResponseInterruptedError
from aizen_hub.notebook.progress import ProgressDisplay


class CommandStillRunning(KeyboardInterrupt):
    """The cell was interrupted while the command continues; it stops *Run All* like any interrupt."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class CommandRunner:
    """Runs commands for one kernel.

    Parameters
    ----------
    client : Client
    rich : bool
        Whether the front end can update a display in place.
    """

    def __init__(self, client: NotebookClient, *, rich: bool = True) -> None:
        self.client = client
        self.plain_text = True
        self._rich = rich

    def run(self, line: str, *, strict: bool = False) -> Renderable:
        """Run one command line and return its output; a refusal is returned, not raised.

        Raises
        ------
        AizenDeniedError
            In strict mode, if the command was not executed successfully.
        CommandStillRunning
            The user interrupted the cell while the command was running.
        """
        output: Renderable
        try:
            output = self._run(line)
        except ProblemResponseError as error:
            output = Refusal(error.document, line)
        except ResponseInterruptedError as error:
            output = Notice(str(error))
        except AizenError as error:
            output = Notice(f"{line}: {error}", "nothing was executed")
        if strict and not (isinstance(output, CommandResult) and output.ok):
            raise AizenDeniedError(output.text())
        return output

    def _run(self, line: str) -> CommandResult:
        command, decision_id = line, None
        progress = ProgressDisplay(line, rich=self._rich)
        end: dict[str, Any] | None = None
        try:
            for event in self.client.run(line):
                match event.get("event"):
                    case "decision":
                        decision_id, command = event.get("id"), str(event.get("canonical") or line)
                        progress.command = command
                    case "end":
                        end = event
                    case _:
                        progress.update(event)
        except KeyboardInterrupt:
            progress.finish("left running")
            raise CommandStillRunning(f"interrupted: {self._describe_state(command, decision_id)}") from None
        except ResponseInterruptedError as error:
            progress.finish("lost")
            raise ResponseInterruptedError(f"{error}; {self._describe_state(command, decision_id)}") from None
        if end is None:
            progress.finish("lost")
            raise ResponseInterruptedError(f"the response ended early; {self._describe_state(command, decision_id)}")
        state = str(end.get("state") or "unknown")
        progress.finish(state)
        result = CommandResult(
            end.get("result"),
            id=decision_id,
            command=command,
            state=state,
            message=str(end.get("message") or ""),
            log=progress.log,
        )
        if result.data.get("renew") is True:
            # The deletion of the session's own project leaves it without one.
            os.environ["AIZEN_PROJECT"] = str(result.data.get("current_project", result.data.get("project")) or "")
        return result

    def _describe_state(self, command: str, decision_id: str | None) -> str:
        if decision_id is None:
            return f"`{command}` may or may not have been executed"
        _, *arguments = command.split(" ")
        hints = []
        catalog = self.client.cached_catalog
        for verb, effect in (("status", "shows its state"), ("stop", "stops it")):
            if catalog is not None and arguments and (verb, arguments[0]) in catalog.entries:
                hints.append(f"`{' '.join([verb, *arguments[:2]])}` {effect}")
        description = f"`{command}` is still running (decision {decision_id})"
        return f"{description}; {', '.join(hints)}" if hints else description
