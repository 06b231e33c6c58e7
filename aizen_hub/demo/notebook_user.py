"""One person of the demo at their notebook: signed in through the form, typing into cells of a real kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.config import SPAWN_SECONDS
from aizen_hub.demo.kernel import CellResult, Kernel
from aizen_hub.demo.personas import Person
from aizen_hub.demo.step_counter import Missed, expect

SHOWN = "application/vnd.aizen.result+json"


class Seat:
    """A browser session, a server and one kernel.

    Parameters
    ----------
    url : str
        The hub's public address.
    """

    def __init__(self, url: str, person: Person, password: str) -> None:
        self.person = person
        self.browser = Browser(url)
        self._password = password
        self._home = ""
        self._kernel: Kernel | None = None

    def sign_in(self) -> None:
        self.browser.login(self.person.name, self._password)
        expect(self.browser.name == self.person.name, f"the hub says that this is {self.browser.name}")

    def start_server(self) -> None:
        """Pick the project on the start page, wait for the server, and start a kernel in it."""
        self._home = self.browser.spawn(self.person.project or "", seconds=SPAWN_SECONDS)
        self._kernel = Kernel(self.browser, self._home)

    def python(self, code: str) -> str:
        """Run a cell of Python and return what it printed."""
        result = self._run(code)
        expect(result.status == "ok" and not result.error, f"the cell failed: {result.text[:500]}")
        return result.stream.strip()

    def type(self, line: str) -> Mapping[str, Any]:
        """Run a cell that holds a command as plain text; return what it showed, as the display gives it to programs."""
        result = self._run(line)
        for data in reversed(result.data):
            shown = data.get(SHOWN)
            if isinstance(shown, Mapping) and shown.get("type") in ("result", "refusal", "notice"):
                return shown
        raise Missed(f"`{line}` showed no answer: {result.status}: {result.text[:500]}")

    def allowed(self, line: str) -> Mapping[str, Any]:
        """As `type`, for a command that must be carried out."""
        shown = self.type(line)
        expect(
            shown["type"] == "result" and shown.get("state") == "done",
            f"`{line}` of {self.person.name} was not carried out: {shown}",
        )
        return shown

    def refused(self, line: str, *, reason: str | None = None) -> Mapping[str, Any]:
        """As `type`, for a command that must be refused by a decision, with a sentence."""
        shown = self.type(line)
        decision = shown.get("decision") or {}
        expect(
            shown["type"] == "refusal" and decision.get("allowed") is False and decision.get("sentence"),
            f"`{line}` of {self.person.name} was not refused with a reason: {shown}",
        )
        expect(reason is None or decision.get("reason") == reason, f"refused, but for another reason: {decision}")
        return shown

    @contextmanager
    def elsewhere(self, line: str) -> Iterator[Future[CellResult]]:
        """Run a cell in a second notebook of the same server, while the block goes on in the first."""
        with Kernel(self.browser, self._home) as kernel, ThreadPoolExecutor(1) as pool:
            yield pool.submit(kernel.execute, line)

    def stop_server(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
            self.browser.stop()

    def _run(self, code: str) -> CellResult:
        if self._kernel is None:
            raise Missed(f"{self.person.name} has no kernel")
        return self._kernel.execute(code)
