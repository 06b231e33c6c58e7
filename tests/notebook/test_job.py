"""Jobs as objects: wait, log, result, stop; listed, attached to, and started in the background."""

from __future__ import annotations

import time
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from aizen_hub.notebook import job as job_module
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice
from aizen_hub.notebook.errors import AizenDenied, JobEndedError, ProblemResponseError, ResponseInterruptedError
from aizen_hub.notebook.job import Job, Jobs
from tests.notebook.service_double import ServiceDouble, deny_with, respond_with, stream_events

ID = "0" * 38 + "1a2b3c4d"
RESULT = {"kind": "object", "message": "trained", "data": {"accuracy": 0.9}}


def view(id: str = ID, state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "id": id, "line": "start training churn", "state": state, "fraction": 0.25, "message": "epoch 1 of 4",
        "project": "churn", "started": "2026-11-22T07:42:02Z", "ended": None, **more,
    }  # fmt: skip


EVENTS = [
    {"event": "job", "job": view()},
    {"event": "log", "line": "loss 0.4"},
    {"event": "progress", "fraction": 0.5, "message": "half"},
    {"event": "end", "state": "done", "result": RESULT, "message": ""},
]


@pytest.fixture
def jobs(double: ServiceDouble) -> ServiceDouble:
    double.jobs[ID], double.job_events = view(), list(EVENTS)
    return double


def run(shell: Any, text: str) -> tuple[Any, Any]:
    with capture_output() as captured:
        done = shell.run_cell(text)
    return done, captured


def test_a_job_is_an_object(jobs: ServiceDouble, client: NotebookClient) -> None:
    job = Job.find(client, "1a2b3c4d", rich=False)
    assert (job.id, job.short_id, job.line, job.state, job.fraction) == (
        ID, "1a2b3c4d", "start training churn", "running", 0.25,
    )  # fmt: skip
    assert job.result is None, "it runs"
    result = job.wait()
    assert (result.state, result.data, result.log) == ("done", {"accuracy": 0.9}, ("loss 0.4",))
    assert (job.state, job.log, job.result) == ("done", ("loss 0.4",), result)
    with pytest.raises(ProblemResponseError, match="no such job"):
        Job.find(client, "ffff")


def test_the_result_of_a_job_that_ended_before(jobs: ServiceDouble, client: NotebookClient) -> None:
    job = Job.find(client, ID, rich=False)
    jobs.jobs[ID]["state"] = "done"
    assert job.result is not None
    assert job.result.data == {"accuracy": 0.9}


def test_waiting_has_an_end(jobs: ServiceDouble, client: NotebookClient) -> None:
    job = Job.find(client, ID, rich=False)
    with pytest.raises(TimeoutError, match="`start training churn` still runs"):
        job.wait(timeout=0.1)
    jobs.jobs[ID]["state"] = "done"
    assert job.wait(timeout=30).ok


def test_a_job_is_stopped(jobs: ServiceDouble, client: NotebookClient) -> None:
    assert Job.find(client, ID).stop().state == "stopped"
    assert jobs.stopped == [ID]


def test_a_job_that_has_ended_is_not_stopped(jobs: ServiceDouble, client: NotebookClient) -> None:
    job = Job.find(client, ID, rich=False)
    job.wait()
    with pytest.raises(JobEndedError, match=r"^`start training churn` \(job 1a2b3c4d\) has ended already: done$"):
        job.stop()
    assert jobs.stopped == []
    # It ends after it was looked at: the service says so.
    job = Job.find(client, ID, rich=False)
    jobs.jobs[ID]["state"] = "failed"
    with pytest.raises(JobEndedError, match="ended already: failed"):
        job.stop()


def test_what_a_blocking_command_returns_is_its_job(shell: Any, jobs: ServiceDouble) -> None:
    jobs.scripts["start training churn"] = stream_events(0.0, *EVENTS[1:])
    done, _ = run(shell, "start training churn")
    job = done.result
    assert isinstance(job, Job)
    assert (job.id, job.state, job.log, job.fraction) == ("d" * 32, "done", ("loss 0.4",), 1.0)
    # The service would not know this job: nothing is asked about one that has ended.
    assert job.wait() is job.result
    assert job.wait(timeout=0) is job.result
    assert job.result is not None
    assert job.data == job.result.data == {"accuracy": 0.9}
    assert job.text() == job.result.text()
    assert job.to_json()["type"] == "result"
    with pytest.raises(JobEndedError, match="has ended already: done"):
        job.stop()


def test_a_stream_that_breaks_off_is_attached_to_again(
    jobs: ServiceDouble, client: NotebookClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "_PAUSE_SECONDS", 0.01)
    streams = iter([EVENTS[:2], EVENTS[:3], EVENTS])

    def stream(self: NotebookClient, path: str) -> Any:
        yield from next(streams)
        raise ResponseInterruptedError("the connection was lost")

    monkeypatch.setattr(NotebookClient, "stream", stream)
    result = Job.find(client, ID, rich=False).wait()
    assert result.data == {"accuracy": 0.9}
    assert result.log == ("loss 0.4",), "it was sent three times"
    monkeypatch.setattr(job_module, "ATTACH_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(NotebookClient, "stream", lambda self, path: stream_nothing())
    started = time.monotonic()
    with pytest.raises(ResponseInterruptedError):
        Job.find(client, ID, rich=False).wait()
    assert time.monotonic() - started < 60


def stream_nothing() -> Any:
    raise ResponseInterruptedError("the connection was lost")


def test_jobs_are_listed_and_named(shell: Any, jobs: ServiceDouble) -> None:
    done, _ = run(shell, "jobs = %aizen jobs\njobs")
    assert isinstance(done.result, Jobs)
    text = done.result.text()
    assert [cell in text for cell in ("1a2b3c4d", "start training", "running", "25%", "churn")] == [True] * 5
    assert "%aizen attach <id>" in text
    assert [job.id for job in done.result] == [ID]
    assert done.result["training churn"].id == done.result["3c4d"].id == done.result[0].id
    with pytest.raises(KeyError):
        done.result["nothing"]
    assert done.result.records[0]["command"] == "start training churn"
    assert "you have no jobs" in Jobs([]).text()


def test_attaching_and_stopping(shell: Any, jobs: ServiceDouble) -> None:
    done, captured = run(shell, "%aizen attach 1a2b3c4d")
    assert isinstance(done.result, Job)
    assert (done.result.id, done.result.log, done.result.message) == (ID, ("loss 0.4",), "trained")
    assert "Traceback" not in captured.stdout
    done, _ = run(shell, "%aizen attach ffff")
    assert isinstance(done.result, Refusal)
    assert "you have no such job" in done.result.text()
    assert isinstance(run(shell, "%aizen attach")[0].result, Notice)
    done, _ = run(shell, "%aizen stop 1a2b3c4d")
    assert isinstance(done.result, Job)
    assert jobs.stopped == ["1a2b3c4d"] or jobs.stopped == [ID]
    jobs.scripts["stop training churn"] = respond_with({"kind": "message", "message": "stopped it"})
    done, _ = run(shell, "%aizen stop training churn")
    assert done.result.message == "stopped it", "a command of the platform"


def test_a_command_in_the_background_returns_its_job(shell: Any, jobs: ServiceDouble) -> None:
    id = "d" * 32
    jobs.jobs[id] = view(id)
    jobs.scripts["start training churn"] = stream_events(30.0)
    jobs.scripts["list projects"] = respond_with({"kind": "message", "message": "none"})
    done, _ = run(shell, "%aizen --background start training churn")
    assert isinstance(done.result, Job)
    assert done.result.id == id
    done, _ = run(shell, "%aizen --background list projects")
    assert done.result.message == "none", "what is complete at once has no job"
    jobs.scripts["start training churn"] = deny_with(detail="no")
    done, _ = run(shell, "%aizen --strict --background start training churn")
    assert isinstance(done.error_in_exec, AizenDenied)
