"""The core reports how jobs ended."""

from __future__ import annotations

from sqlalchemy import select

from aizen_hub.jobs.core_event import CoreEvent, State
from aizen_hub.problems import NotFound
from aizen_hub.service.api.schemas.core_events import JobEvent, JobHeard
from aizen_hub.service.auth.authenticator import CORE
from aizen_hub.service.core.command_log import record_end
from aizen_hub.service.http.route import ROAD, Answer, Credential, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Write

_j = tables.jobs


async def ended(call: Call) -> Answer:
    """Record an end; a job that this service never started is refused, whoever reports it."""
    body, number = call.body, call.members["id"]

    def work(tx: Write) -> bool:
        row = tx.conn.execute(select(_j.c.project).where(_j.c.decision_id == number)).first()
        if row is None:
            raise NotFound("there is no such job")
        return record_end(tx, number, CoreEvent("end", state=State(body.state), message=body.message))

    return Answer({"recorded": await call.alone(Actor(CORE, Road.SERVICE_ACCOUNT, source=call.caller.source), work)})


ROUTES = (
    Route(
        "POST",
        "/api/v1/jobs/{id}/events",
        frozenset({Credential.CORE}),
        ROAD,
        ended,
        "Report the end of a job.",
        body=JobEvent,
        answer=JobHeard,
    ),
)
