"""Questions, requests and jobs of a kernel with the real service and the sample core."""

from __future__ import annotations

import asyncio

from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.answer import Answer
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Renderable
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.job import Job, Jobs
from aizen_hub.notebook.subcommands import run_line
from tests.notebook.test_real_service import RunningService, service, wait_until_running

__all__ = ["service"]


async def run(runner: CommandRunner, text: str, **options: bool) -> Renderable:
    return await asyncio.to_thread(lambda: run_line(text, runner, **options))


async def test_from_a_refusal_to_the_command_that_works(service: RunningService) -> None:
    """The reader asks as the refusal says, the admin approves, and the next command is allowed."""
    rob, ada = await service.open_runner("rob"), await service.open_runner("ada")
    refused = await run(rob, "start training churn")
    assert isinstance(refused, Refusal)
    assert refused.way_out.endswith("ask with: `request PROJECT_EXECUTOR in p1`")
    assert refused.ask_url is not None
    assert refused.ask_url.endswith("me/ask?role=PROJECT_EXECUTOR&project=p1")
    answer = await run(rob, "can i start training churn?")
    assert isinstance(answer, Answer)
    assert not answer
    assert "ada" in answer.text()
    asked = await run(rob, 'request PROJECT_EXECUTOR in p1 for 4h because "on call"')
    assert isinstance(asked, CommandResult), asked.text()
    to_decide = await asyncio.to_thread(ada.client.request_json, "/api/v1/requests?which=to-decide", 30)
    pending = to_decide["rows"]
    assert pending[0][1:5] == ["user:rob", "PROJECT_EXECUTOR", "p1", "on call"]
    await asyncio.to_thread(ada.client.post_json, f"/api/v1/requests/{pending[0][0]}/approve", {})
    assert await run(rob, "can i start training churn")
    done = await run(rob, "start training churn")
    assert isinstance(done, CommandResult)
    assert done.ok
    session = await run(rob, "whoami")
    assert isinstance(session, CommandResult)
    [role] = [record for record in session.records if record["role"] == "PROJECT_EXECUTOR"]
    assert (role["from"], role["state"]) == ("ada", "effective")
    assert role["until"] is not None


async def test_questions_are_answered_by_what_the_user_may_see(service: RunningService) -> None:
    rob, ada = await service.open_runner("rob"), await service.open_runner("ada")
    assert isinstance(await run(rob, "who can start training"), Refusal)
    holders = await run(ada, "who can start training")
    assert isinstance(holders, CommandResult)
    assert {"user:ada", "user:eve"} <= {record["identity"] for record in holders.records}
    own = await run(rob, "what can i do")
    assert isinstance(own, CommandResult)
    assert "start" not in dict(own.rows)["training"].split(", ")
    assert "list" in dict(own.rows)["trainings"].split(", ")
    why = await run(rob, "why start training")
    assert isinstance(why, Answer)
    assert "not by: role PROJECT_READER in `p1` does not allow it" in why.text()
    explained = await run(rob, "start training?")
    assert "you may not" in explained.text()
    assert "start training churn" in explained.text()


async def test_a_permission_is_asked_about_like_a_command(service: RunningService) -> None:
    rob, ada = await service.open_runner("rob"), await service.open_runner("ada")
    for text, expected in (("can i execute:training?", False), ("can i read:training", True)):
        answer = await run(rob, text)
        assert isinstance(answer, Answer), answer.text()
        assert bool(answer) is expected
    why = await run(rob, "why not execute:training")
    assert "no: no assigned role allows `execute:training` in `p1`" in why.text()
    assert "not by: role PROJECT_READER" in why.text()
    assert isinstance(await run(ada, "who can execute:training"), CommandResult)
    assert "there is no project `p9`" in (await run(rob, "can i execute:training in p9")).text()


async def test_a_job_is_attached_to_from_another_kernel(service: RunningService) -> None:
    eve, other = await service.open_runner("eve"), await service.open_runner("eve", server="second")
    await run(eve, "configure training long epochs=60 pause=0.05")
    job = await run(eve, "start training long", background=True)
    assert isinstance(job, Job), job.text()
    jobs = await run(other, "jobs")
    assert isinstance(jobs, Jobs)
    assert jobs["training long"].id == job.id
    attached = await run(other, f"attach {job.short_id}")
    assert isinstance(attached, CommandResult)
    assert (attached.state, attached.data["epochs"]) == ("done", 60)
    result = await asyncio.to_thread(job.wait)
    assert result.data["epochs"] == 60


async def test_a_job_is_stopped_by_its_id(service: RunningService) -> None:
    eve = await service.open_runner("eve")
    job = await run(eve, "start training slow", background=True)
    assert isinstance(job, Job), job.text()
    await wait_until_running(service, "status training slow")
    stopped = await run(await service.open_runner("eve", server="second"), f"stop {job.short_id}")
    assert isinstance(stopped, Job)
    assert stopped.state == "stopped"
    status = await run(await service.open_runner("rob"), "status training slow")
    assert isinstance(status, CommandResult)
    assert status.rows[0][1] == "stopped"


async def test_names_are_completed_from_jobs(service: RunningService) -> None:
    eve = await service.open_runner("eve")
    await run(eve, "start training churn")
    query = "/api/v1/completions?line=start+training+ch"
    found = await asyncio.to_thread(eve.client.request_json, query, 30)
    assert [item["text"] for item in found["completions"]] == ["churn"]
