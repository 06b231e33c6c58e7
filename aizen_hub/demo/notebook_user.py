"""A user of the demo with a notebook: signs in through the form and runs cells in a real kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.config import SPAWN_SECONDS
from aizen_hub.demo.kernel import CellResult, Kernel
from aizen_hub.demo.personas import Persona
from aizen_hub.demo.step_counter import StepFailedError, expect

RESULT_MIME = "application/vnd.aizen.result+json"


class NotebookUser:
    """The browser session, server and kernel of one persona.

    Parameters
    ----------
    url : str
        The hub's public address.
    """

    def __init__(self, url: str, person: Persona, password: str) -> None:
        self.person = person
        self.browser = Browser(url)
        self._password = password
        self._home = ""
        self._kernel: Kernel | None = None

    def sign_in(self) -> None:
        self.browser.login(self.person.name, self._password)
        expect(self.browser.name == self.person.name, f"the hub returned the user {self.browser.name}")

    def sign_in_again(self) -> None:
        self.browser.reauthenticate(self._password)

    def start_server(self) -> None:
        """Start a server for the project through the spawn page, and a kernel in it."""
        self._home = self.browser.spawn(self.person.project or "", seconds=SPAWN_SECONDS)
        self._kernel = Kernel(self.browser, self._home)

    def run_python(self, code: str) -> str:
        """Run a cell of Python and return its printed text."""
        result = self._run(code)
        expect(result.status == "ok" and not result.error, f"the cell failed: {result.text[:500]}")
        return result.stream.strip()

    def run_command(self, line: str) -> Mapping[str, Any]:
        """Run a command as plain text in a cell and return its output as JSON data."""
        result = self._run(line)
        for data in reversed(result.data):
            output = data.get(RESULT_MIME)
            if isinstance(output, Mapping) and output.get("type") in ("result", "refusal", "notice"):
                return output
        raise StepFailedError(f"`{line}` showed no result: {result.status}: {result.text[:500]}")

    def run_allowed(self, line: str) -> Mapping[str, Any]:
        """Run a command that must succeed."""
        output = self.run_command(line)
        expect(
            output["type"] == "result" and output.get("state") == "done",
            f"`{line}` of {self.person.name} was not executed: {output}",
        )
        return output

    def run_denied(self, line: str, *, reason: str | None = None) -> Mapping[str, Any]:
        """Run a command that must be denied with a reason."""
        output = self.run_command(line)
        decision = output.get("decision") or {}
        expect(
            output["type"] == "refusal" and decision.get("allowed") is False and decision.get("sentence"),
            f"`{line}` of {self.person.name} was not denied with a reason: {output}",
        )
        expect(reason is None or decision.get("reason") == reason, f"denied for another reason: {decision}")
        return output

    @contextmanager
    def in_second_notebook(self, line: str) -> Iterator[Future[CellResult]]:
        """Run a cell in a second notebook of the same server, concurrently with the block."""
        with Kernel(self.browser, self._home) as kernel, ThreadPoolExecutor(1) as pool:
            yield pool.submit(kernel.execute, line)

    def stop_server(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
            self.browser.stop()

    def _run(self, code: str) -> CellResult:
        if self._kernel is None:
            raise StepFailedError(f"{self.person.name} has no kernel")
        return self._kernel.execute(code)
