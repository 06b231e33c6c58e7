"""Route by which the core reports the end of jobs."""

from __future__ import annotations

from sqlalchemy import select

from aizen_hub.jobs.core_event import CommandState, CoreEvent
from aizen_hub.problems import NotFound
from aizen_hub.service.api.schemas.core_events import JobEnd, JobEndRecorded
from aizen_hub.service.auth.authenticator import CORE
from aizen_hub.service.core.command_log import record_end
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction

_j = tables.jobs


async def record_job_end(ctx: RequestContext) -> JsonResponse:
    """Record the end of a job; a job that this service did not start is not found."""
    body, decision_id = ctx.body, ctx.path_params["id"]

    def operation(tx: WriteTransaction) -> bool:
        row = tx.conn.execute(select(_j.c.project).where(_j.c.decision_id == decision_id)).first()
        if row is None:
            raise NotFound("there is no such job")
        return record_end(tx, decision_id, CoreEvent("end", state=CommandState(body.state), message=body.message))

    actor = Actor(CORE, Channel.SERVICE_ACCOUNT, source=ctx.principal.source)
    return JsonResponse({"recorded": await ctx.unauthorized_write(actor, operation)})


ROUTES = (
    Route(
        "POST",
        "/api/v1/jobs/{id}/events",
        frozenset({AuthMethod.CORE}),
        CREDENTIAL_SUFFICES,
        record_job_end,
        "Report the end of a job.",
        body=JobEnd,
        response=JobEndRecorded,
    ),
)
