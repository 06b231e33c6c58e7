"""Jobs: programs run as processes, and the publication of their progress."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage import Storage

PROGRAM = Path(__file__).with_name("programs.py")
MAX_LINE_BYTES = 64 * 1024
MAX_JOBS = 32
MAX_JOB_SECONDS = 3_600.0
STOP_SECONDS = 3.0
HEARTBEAT_SECONDS = 5.0

Event = dict[str, Any]


@dataclass(eq=False)
class Job:
    """One running process."""

    id: str
    project: str
    noun: str
    name: str
    process: asyncio.subprocess.Process
    stopping: bool = False
    latest: Event = field(default_factory=lambda: {"event": "progress", "fraction": 0.0, "message": "started"})
    listeners: set[asyncio.Queue[Event]] = field(default_factory=set)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class JobRunner:
    """All jobs of this core.

    Parameters
    ----------
    storage : Storage
    folder : Path
        Where results are kept, one file per job, named by the decision's id.
    on_end : callable
        Called with the row's id when a job has ended.
    """

    def __init__(self, storage: Storage, folder: Path, on_end: Any) -> None:
        self._storage, self._folder, self._on_end = storage, folder, on_end
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        folder.mkdir(exist_ok=True)

    def result_file(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    @property
    def is_full(self) -> bool:
        return len(self._jobs) >= MAX_JOBS

    def running(self, project: str, noun: str, name: str) -> list[Job]:
        return [job for job in self._jobs.values() if (job.project, job.noun, job.name) == (project, noun, name)]

    def find(self, id: str) -> Job | None:
        return self._jobs.get(id)

    async def start(self, id: str, user: str, project: str, noun: str, name: str, arguments: Sequence[str]) -> Job:
        """Start a prepared program; its argument vector holds numbers and our own paths, never a user's text."""
        # Recorded first: a row that cannot be written must not leave an unsupervised process.
        self._storage.start_job(id, user, project, noun, name)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(PROGRAM),
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_LINE_BYTES,
                env={"PATH": "/usr/bin:/bin"},
            )
        except OSError as error:
            self._storage.end_job(id, "failed", f"its process could not be started ({type(error).__name__})", None)
            raise
        job = Job(id, project, noun, name, process)
        self._jobs[id] = job
        task = asyncio.create_task(self._supervise(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def follow(self, job: Job) -> AsyncGenerator[Event, None]:
        """Yield the events from now on, at least one every few seconds, until the end."""
        queue: asyncio.Queue[Event] = asyncio.Queue(maxsize=1_000)
        job.listeners.add(queue)
        try:
            yield job.latest
            while not (job.ended.is_set() and queue.empty()):
                try:
                    event = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    event = job.latest
                yield event
                if event["event"] == "end":
                    return
        finally:
            job.listeners.discard(queue)

    async def stop(self, job: Job) -> None:
        """Stop a job; returns when its process has exited."""
        job.stopping = True
        if job.process.returncode is None:
            job.process.terminate()
        try:
            await asyncio.wait_for(job.ended.wait(), STOP_SECONDS)
        except TimeoutError:
            if job.process.returncode is None:
                job.process.kill()
            await job.ended.wait()

    async def close(self) -> None:
        await asyncio.gather(*(self.stop(job) for job in list(self._jobs.values())))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _supervise(self, job: Job) -> None:
        process = job.process
        assert process.stdout is not None
        assert process.stderr is not None
        stderr_task = asyncio.create_task(process.stderr.read(MAX_LINE_BYTES))
        result: dict[str, Any] | None = None
        problem = ""
        try:
            async with asyncio.timeout(MAX_JOB_SECONDS):
                async for line in process.stdout:
                    event = json.loads(line)
                    if event["event"] == "result":
                        result = event["result"]
                    else:
                        self._handle_event(job, event)
        except TimeoutError:
            problem = f"ended after {MAX_JOB_SECONDS:g} s, the maximum duration of a job here"
        except ValueError:
            problem = "the output of the program is invalid"
        if process.returncode is None and problem:
            process.kill()
        code = await process.wait()
        stderr_lines = (await stderr_task).decode(errors="replace").strip().splitlines()
        self._finish(job, code, result, problem or (stderr_lines[-1][:500] if stderr_lines else ""))

    def _finish(self, job: Job, code: int, result: dict[str, Any] | None, problem: str) -> None:
        if result is not None and code == 0:
            self.result_file(job.id).write_text(json.dumps(result), encoding="utf-8")
            shown = {key: value for key, value in result.items() if not isinstance(value, dict | list)}
            state, message = "done", f"{job.noun} `{job.name}` is done"
            table = {"columns": list(shown), "rows": [list(shown.values())]}
            response: dict[str, Any] | None = {"kind": "table", "message": message, **table, "data": result}
        else:
            state = "stopped" if job.stopping else "failed"
            message = (
                f"{job.noun} `{job.name}` was stopped"
                if job.stopping
                else f"{job.noun} `{job.name}` failed: {problem or code}"
            )
            response = None
        self._storage.end_job(job.id, state, message, result)
        end = {"event": "end", "state": state, "result": response, "message": message}
        self._storage.end_command(job.id, end)
        job.ended.set()
        del self._jobs[job.id]
        self._publish(job, end)
        self._on_end(job.id)

    def _handle_event(self, job: Job, event: Event) -> None:
        if event["event"] == "progress":
            job.latest = event
            self._storage.progress(job.id, event["fraction"], event["message"])
        elif event["event"] == "log":
            self._storage.log(job.id, event["line"])
        self._publish(job, event)

    def _publish(self, job: Job, event: Event) -> None:
        for queue in job.listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)
