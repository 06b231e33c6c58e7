"""Routes for the jobs of the requesting identity: list, show, follow and stop them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aizen_hub.api_models.own_jobs import OwnJobsQuery, OwnJobsView, OwnJobView
from aizen_hub.commands.result import to_json_value
from aizen_hub.jobs import leases
from aizen_hub.jobs.core_event import CommandState
from aizen_hub.jobs.listing import OwnJob, find_own_job, list_own_jobs
from aizen_hub.problems import Conflict
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, NdjsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_POLL_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 5.0
_MAX_STREAM_SECONDS = 3600.0
_FOLLOWED_ELSEWHERE = "it runs; its progress is not known here"


async def list_jobs(ctx: RequestContext) -> JsonResponse:
    query: OwnJobsQuery = ctx.query

    def operation(tx: ReadTransaction) -> list[OwnJob]:
        return list_own_jobs(tx, ctx.identity, limit=query.limit, running_only=query.which == "running")

    jobs = await ctx.authorized_read(operation)
    shown = [_job_view(ctx, job) for job in jobs[: query.limit]]
    return JsonResponse({"jobs": shown, "more": len(jobs) > query.limit})


async def show_job(ctx: RequestContext) -> JsonResponse:
    return JsonResponse(_job_view(ctx, await _find_job(ctx)))


async def follow_job(ctx: RequestContext) -> NdjsonResponse:
    """Stream a job from where it is now: first the job itself, then its events until its ``end``."""
    job = await _find_job(ctx)

    async def events() -> AsyncIterator[Mapping[str, Any]]:
        yield {"event": "job", "job": _job_view(ctx, job)}
        running = ctx.service.core.runner.find(job.id)
        if running is not None:
            async for event in running.events():
                yield event
                if event["event"] == "end":
                    return
        async for polled in _poll(ctx, job.id):
            yield polled

    return NdjsonResponse(events())


async def _poll(ctx: RequestContext, id: str) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the events of a job that another process follows, or that has ended; authorized at every step."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _MAX_STREAM_SECONDS
    told_at = float("-inf")
    while True:
        job = await ctx.authorized_read(lambda tx: find_own_job(tx, ctx.identity, id))
        if not job.is_open or job.state != "running":
            yield {"event": "end", "state": job.state, "result": None, "message": ""}
            return
        if ctx.service.state.stopping or loop.time() >= until:
            return
        if loop.time() - told_at >= _KEEP_ALIVE_SECONDS:
            yield {"event": "progress", "fraction": None, "message": _FOLLOWED_ELSEWHERE}
            told_at = loop.time()
        await asyncio.sleep(_POLL_SECONDS)


async def stop_job(ctx: RequestContext) -> JsonResponse:
    """Ask the core to stop a job; the user who started it needs no further permission."""
    open_commands: list[Any] = []

    def record(tx: WriteTransaction, _: object) -> JsonResponse:
        job = find_own_job(tx, ctx.identity, ctx.path_params["id"])
        open_command = leases.find_command(tx, job.id)
        if not job.is_open or open_command is None:
            raise Conflict(f"this job has ended already: {job.state}", extensions={"state": job.state})
        tx.audit("job.stop-requested", project=job.project, command=job.line, details={"job": job.id})
        open_commands.append(open_command)
        return JsonResponse(_job_view(ctx, job), 202)

    response = await ctx.authorized_write(record)
    await ctx.service.core.cancel(open_commands[0])
    return response


async def _find_job(ctx: RequestContext) -> OwnJob:
    id = ctx.path_params["id"]
    return await ctx.authorized_read(lambda tx: find_own_job(tx, ctx.identity, id))


def _job_view(ctx: RequestContext, job: OwnJob) -> dict[str, Any]:
    running = ctx.service.core.runner.find(job.id)
    progress = None if running is None else running.progress
    message = "" if progress is None else progress.message
    if running is not None and running.end is not None:
        message = running.end.message
    fraction = None if progress is None else progress.fraction
    return {
        "id": job.id,
        "line": job.line,
        "state": job.state,
        "fraction": 1.0 if job.state == CommandState.DONE else fraction,
        "message": message,
        "project": job.project,
        "session": job.session,
        "in_this_session": job.session is not None and job.session == ctx.actor.session,
        "acting": job.acting,
        "started": to_json_value(job.started),
        "ended": to_json_value(job.ended),
    }


_PATH = "/api/v1/jobs"

ROUTES = (
    Route(
        "GET",
        _PATH,
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_jobs,
        "List your jobs: what you run at the core, and what ended within a week.",
        query=OwnJobsQuery,
        response=OwnJobsView,
    ),
    Route(
        "GET",
        _PATH + "/{id}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_job,
        "Show one of your jobs, by its id or the end of it.",
        response=OwnJobView,
    ),
    Route(
        "GET",
        _PATH + "/{id}/events",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        follow_job,
        "Follow one of your jobs until it ends.",
        response=OwnJobView,
        streams=True,
        own_deadline=True,
    ),
    Route(
        "POST",
        _PATH + "/{id}/stop",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        stop_job,
        "Stop one of your jobs; it ends within a moment.",
        response=OwnJobView,
        status=202,
    ),
)
