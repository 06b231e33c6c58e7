"""Behind the magics and the plain text: runs command lines and turns what comes back into something shown."""

from __future__ import annotations

import os
from typing import Any

from aizen_hub.notebook.client import Client
from aizen_hub.notebook.display import Notice, Refusal, Result, Shown
from aizen_hub.notebook.errors import AizenDenied, AizenError, Interrupted, Refused
from aizen_hub.notebook.progress import Progress


class LeftRunning(KeyboardInterrupt):
    """The cell was interrupted; the command was not. Stops *Run All* like any interrupt, but says what goes on."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Console:
    """Runs commands for one kernel.

    Parameters
    ----------
    client : Client
    rich : bool
        Whether the front end can update a display in place.
    """

    def __init__(self, client: Client, *, rich: bool = True) -> None:
        self.client = client
        self.plain_text = True
        self._rich = rich

    def run(self, line: str, *, strict: bool = False) -> Shown:
        """Run one command line and return what it shows; refusals are shown, not raised.

        Raises
        ------
        AizenDenied
            In strict mode, for everything that was not carried out.
        LeftRunning
            Interrupted while the command ran.
        """
        shown: Shown
        try:
            shown = self._run(line)
        except Refused as refusal:
            shown = Refusal(refusal.document, line)
        except Interrupted as error:
            shown = Notice(str(error))
        except AizenError as error:
            shown = Notice(f"{line}: {error}", "nothing was carried out")
        if strict and not (isinstance(shown, Result) and shown.ok):
            raise AizenDenied(shown.text())
        return shown

    def _run(self, line: str) -> Result:
        command, id = line, None
        progress = Progress(line, rich=self._rich)
        end: dict[str, Any] | None = None
        try:
            for event in self.client.run(line):
                match event.get("event"):
                    case "decision":
                        id, command = event.get("id"), str(event.get("canonical") or line)
                        progress.command = command
                    case "end":
                        end = event
                    case _:
                        progress.take(event)
        except KeyboardInterrupt:
            progress.finish("left running")
            raise LeftRunning(f"interrupted: {self._left(command, id)}") from None
        except Interrupted as error:
            progress.finish("lost")
            raise Interrupted(f"{error}; {self._left(command, id)}") from None
        if end is None:
            progress.finish("lost")
            raise Interrupted(f"the answer stopped before its end; {self._left(command, id)}")
        state = str(end.get("state") or "unknown")
        progress.finish(state)
        result = Result(
            end.get("result"),
            id=id,
            command=command,
            state=state,
            message=str(end.get("message") or ""),
            log=progress.log,
        )
        if result.data.get("renew") is True and isinstance(result.data.get("project"), str):
            os.environ["AIZEN_PROJECT"] = result.data["project"]
        return result

    def _left(self, command: str, id: str | None) -> str:
        if id is None:
            return f"`{command}` may or may not have been carried out"
        _, *rest = command.split(" ")
        hints = []
        vocabulary = self.client.known_vocabulary
        for verb, does in (("status", "shows it"), ("stop", "ends it")):
            if vocabulary is not None and rest and (verb, rest[0]) in vocabulary.entries:
                hints.append(f"`{' '.join([verb, *rest[:2]])}` {does}")
        goes_on = f"`{command}` was not stopped and goes on (decision {id})"
        return f"{goes_on}; {', '.join(hints)}" if hints else goes_on
