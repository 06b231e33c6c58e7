"""Jobs: commands that run at the platform, whatever happens to the cell that started them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.display.progress import LEFT_RUNNING, LOST, SHORT_ID, ProgressDisplay
from aizen_hub.notebook.display.renderable import Renderable
from aizen_hub.notebook.display.result import CommandResult, as_list
from aizen_hub.notebook.display.tables import html_table, text_table
from aizen_hub.notebook.display.text import FAINT, prose_html
from aizen_hub.notebook.errors import (
    AizenError,
    CommandStillRunning,
    JobEndedError,
    ProblemResponseError,
    ResponseInterruptedError,
    ServiceUnreachableError,
)
from aizen_hub.notebook.log_continuation import LogContinuation
from aizen_hub.notebook.transport import RESPONSE_SECONDS

ATTACH_AGAIN_SECONDS = 90.0
"""How long to try to attach again without news; a restart of the service takes less."""
_PAUSE_SECONDS = 1.0
_POLL_SECONDS = 0.5
_MAX_ATTACHES = 1_000
_PATH = "/api/v1/jobs"
_CONFLICT = 409
_ENDED = frozenset({"done", "failed", "stopped"})


class Job(CommandResult):
    """One job of the user, as the service last described it, and what it returned.

    The attributes of a result, such as ``records`` and ``data``, are empty until ``wait`` or ``result`` has read it.

    Attributes
    ----------
    id, line, project : str
        ``line`` is the command, as ``command`` is.
    state : str
        ``running``, ``done``, ``failed``, ``stopped`` or ``unknown``.
    fraction : float or None
        Progress from 0 to 1.
    message : str
    log : tuple of str
        The log lines that were read while this object followed the job, and the last ones before.
    """

    id: str
    fraction: float | None

    def __init__(self, client: NotebookClient, view: Mapping[str, Any], *, rich: bool = True) -> None:
        super().__init__(None, id=str(view.get("id")))
        self._client, self._rich = client, rich
        self._result: CommandResult | None = None
        self._read(view)

    @classmethod
    def find(cls, client: NotebookClient, id: str, *, rich: bool = True) -> Job:
        """Return a job of the user by its id or the end of it.

        Raises
        ------
        ProblemResponseError
            There is no such job, or more than one.
        """
        return cls(client, client.request_json(f"{_PATH}/{quote(id, safe='')}", RESPONSE_SECONDS), rich=rich)

    @classmethod
    def from_end(
        cls, client: NotebookClient, view: Mapping[str, Any], event: Mapping[str, Any], progress: ProgressDisplay
    ) -> Job:
        """Return a job that was followed from its start to the event of its end."""
        job = cls(client, view, rich=progress.rich)
        job._finish(event, progress)
        return job

    @property
    def short_id(self) -> str:
        return self.id[-SHORT_ID:]

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def failed(self) -> bool:
        """Whether it is known to have returned without success."""
        return self._result is not None and not self.ok

    @property
    def result(self) -> CommandResult | None:
        """What the job returned; None as long as it runs, and if its result is not kept any more."""
        if self._result is None and self.is_running:
            self.refresh()
        if self._result is None and not self.is_running:
            self._follow(ProgressDisplay(self.line, rich=self._rich))
        return self._result

    def refresh(self) -> Job:
        """Ask for the current state, and return this job."""
        self._read(self._client.request_json(f"{_PATH}/{self.id}", RESPONSE_SECONDS))
        return self

    def wait(self, timeout: float | None = None) -> CommandResult:
        """Wait for the end, with its progress on display, and return the result; at once if it was read before.

        Parameters
        ----------
        timeout : float, optional
            In seconds.

        Raises
        ------
        TimeoutError
            It still runs.
        CommandStillRunning
            The cell was interrupted; the job goes on.
        """
        if self._result is not None:
            return self._result
        if timeout is not None:
            self._wait_until(time.monotonic() + timeout)
        with ProgressDisplay(self.line, rich=self._rich) as progress:
            progress.job_id, progress.waiting_for = self.id, "waiting for news of the job"
            return self._follow(progress)

    def stop(self) -> Job:
        """Stop the job, wait a moment for its end, and return this job.

        Raises
        ------
        JobEndedError
            It has ended already.
        """
        if self.state in _ENDED:
            raise self._ended_error()
        try:
            self._read(self._client.post_json(f"{_PATH}/{self.id}/stop"))
        except ProblemResponseError as error:
            if error.status != _CONFLICT or error.document.get("state") not in _ENDED:
                raise
            self.state = str(error.document["state"])
            raise self._ended_error() from None
        deadline = time.monotonic() + RESPONSE_SECONDS
        while self.refresh().is_running and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return self

    def _ended_error(self) -> JobEndedError:
        return JobEndedError(f"`{self.line}` (job {self.short_id}) has ended already: {self.state}")

    def _wait_until(self, deadline: float) -> None:
        while self.refresh().is_running:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"`{self.line}` still runs (job {self.short_id})")
            time.sleep(min(_POLL_SECONDS, remaining))

    def _follow(self, progress: ProgressDisplay) -> CommandResult:
        try:
            for event in self._events():
                if event.get("event") == "end":
                    self._finish(event, progress)
                progress.update(event)
        except KeyboardInterrupt:
            progress.finish(LEFT_RUNNING)
            raise CommandStillRunning(f"interrupted: {describe_running(self.line, self.id)}") from None
        except AizenError:
            progress.finish(LOST)
            raise
        if self._result is None:
            progress.finish(LOST)
            raise ResponseInterruptedError(f"there is no news of it; {describe_running(self.line, self.id)}")
        progress.finish(self.state)
        return self._result

    def _finish(self, event: Mapping[str, Any], progress: ProgressDisplay) -> None:
        self.state, self.log = str(event.get("state") or "unknown"), tuple(progress.log)
        content, message = event.get("result"), str(event.get("message") or "")
        self._result = CommandResult(
            content, id=self.id, command=self.line, state=self.state, message=message, log=self.log
        )
        self._set_content(content, message)
        if self.ok:
            self.fraction = 1.0

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the job to its end; attaches again where the connection broke off."""
        deadline, log = time.monotonic() + ATTACH_AGAIN_SECONDS, LogContinuation()
        for _ in range(_MAX_ATTACHES):
            log.attach()
            try:
                for event in self._client.stream(f"{_PATH}/{self.id}/events"):
                    deadline = time.monotonic() + ATTACH_AGAIN_SECONDS
                    if event.get("event") == "log":
                        yield from _log_events(log.add(str(event.get("line") or "")))
                        continue
                    if event.get("event") != "job":
                        yield from _log_events(log.release())
                    yield event
                    if event.get("event") == "end":
                        return
            except ProblemResponseError as error:
                if (error.status < 500 and error.status != 429) or time.monotonic() > deadline:
                    raise
            except (ResponseInterruptedError, ServiceUnreachableError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _read(self, view: Mapping[str, Any]) -> None:
        self.line = self.command = str(view.get("line") or "")
        self.state = str(view.get("state") or "unknown")
        fraction = view.get("fraction")
        self.fraction = float(fraction) if isinstance(fraction, int | float) else None
        self.message = str(view.get("message") or "")
        self.project, self.started, self.ended = view.get("project"), view.get("started"), view.get("ended")

    def row(self) -> tuple[Any, ...]:
        """Return the job as a row of `Jobs`."""
        return (self.short_id, self.line, self.state, self.fraction, self.project, self.started, self.ended)

    def text(self) -> str:
        return text_table(COLUMNS, [self.row()]) if self._result is None else super().text()

    def html(self) -> str:
        return html_table(COLUMNS, [self.row()]) if self._result is None else super().html()

    def to_json(self) -> dict[str, Any]:
        if self._result is not None:
            return super().to_json()
        names = ("id", "line", "state", "fraction", "message", "project", "started", "ended")
        return {"type": "job", **{name: getattr(self, name) for name in names}}


COLUMNS = ("id", "command", "state", "progress", "project", "started", "ended")


class Jobs(Renderable):
    """The jobs of the user, running ones first: a sequence of `Job`."""

    def __init__(self, jobs: list[Job], *, more: bool = False) -> None:
        self._jobs, self._more = jobs, more

    @classmethod
    def read(cls, client: NotebookClient, *, running_only: bool = False, rich: bool = True) -> Jobs:
        """Read them from the service."""
        query = urlencode({"which": "running" if running_only else "all"})
        document = client.request_json(f"{_PATH}?{query}", RESPONSE_SECONDS)
        views = [view for view in as_list(document.get("jobs")) if isinstance(view, Mapping)]
        return cls([Job(client, view, rich=rich) for view in views], more=document.get("more") is True)

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __getitem__(self, key: int | str) -> Job:
        """Return a job by its position, or by its id, the end of it, or its command without the verb."""
        if isinstance(key, int):
            return self._jobs[key]
        found = [job for job in self._jobs if job.id.endswith(key) or job.line.partition(" ")[2] == key]
        if len(found) != 1:
            raise KeyError(key)
        return found[0]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(COLUMNS, job.row(), strict=True)) for job in self]

    def _hint(self) -> str:
        if not self._jobs:
            return "you have no jobs of the last week"
        more = "there are more than these; " if self._more else ""
        return f"{more}`%aizen attach <id>` follows one, `%aizen stop <id>` stops it"

    def text(self) -> str:
        table = [text_table(COLUMNS, [job.row() for job in self])] if self._jobs else []
        return "\n".join([*table, self._hint()])

    def html(self) -> str:
        table = html_table(COLUMNS, [job.row() for job in self]) if self._jobs else ""
        return f'{table}<div style="{FAINT}">{prose_html(self._hint())}</div>'

    def to_json(self) -> dict[str, Any]:
        return {"type": "jobs", "jobs": [job.to_json() for job in self], "more": self._more}


def _log_events(lines: list[str]) -> Iterator[dict[str, Any]]:
    return ({"event": "log", "line": line} for line in lines)


def describe_running(line: str, id: str) -> str:
    """Return a sentence for a job that is not followed any more."""
    short_id = id[-SHORT_ID:]
    return (
        f"`{line}` goes on as job {short_id}: `%aizen attach {short_id}` follows it, `%aizen stop {short_id}` stops it"
    )
