"""Questions about access, and the audit."""

from __future__ import annotations

from aizen_hub.audit.archive.manifest import sealed_until
from aizen_hub.audit.search import AuditFilter, newest
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.queries import access_queries as questions
from aizen_hub.commands.result import Result, table
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.api.change_response import answered, change
from aizen_hub.service.api.schemas.access_queries import AuditQuery, CanI, ProjectsOf, WhatIf, WhoCan
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Read, Write

ACCESS = Need.operation("access", "scope")


def _identity(text: str | None) -> Identity | None:
    return None if text is None else Identity.parse(text)


async def can_i(call: Call) -> Answer:
    body = call.body

    def work(tx: Write) -> Result:
        decision = questions.can_i(tx, body.permission, body.scope, _identity(body.identity))
        data = {
            "allowed": decision.allowed,
            "reason": str(decision.reason),
            "sentence": decision.sentence,
            "assignment": decision.assignment,
            "role": decision.role,
            "via": [str(one) for one in decision.via],
        }
        return Result("object", decision.sentence, data=data)

    return await change(call, work)


async def why(call: Call) -> Answer:
    body = call.body
    return await change(call, lambda tx: questions.why(tx, body.permission, body.scope, _identity(body.identity)))


async def who_can(call: Call) -> Answer:
    body = call.body
    project = project_of(body.scope)
    return await call.read(
        lambda tx: answered(questions.who_can(tx, call.actor, body.permission, body.scope), tx),
        noted=lambda _: {"project": project, "details": {"question": "who-can", "permission": body.permission}},
        pool=call.house.pools.questions,
    )


async def what_if(call: Call) -> Answer:
    body = call.body
    supposed = questions.Supposed(
        tuple((one.role, one.scope, Identity.parse(one.identity)) for one in body.assignments),
        tuple(body.groups),
        body.at,
    )
    return await change(
        call, lambda tx: questions.what_if(tx, body.permission, body.scope, Identity.parse(body.identity), supposed)
    )


async def projects_of(call: Call) -> Answer:
    return await change(call, lambda tx: questions.projects_of(tx, _identity(call.body.identity)))


async def audit(call: Call) -> Answer:
    query = call.query
    where = AuditFilter(query.identity, query.project, query.event, query.id, query.since, query.until)

    def work(tx: Read) -> Answer:
        # At the system for everything, in a project for its rows; the filter is in the query either way (R72, R100).
        gate.need_of(tx, call.actor, gate.permission(tx, "audit"), query.project or SYSTEM)
        rows = newest(tx.conn, where, query.limit)
        found = table(
            ("at", "event", "identity", "project", "allowed", "sentence", "id"),
            [
                tuple(row.get(name) for name in ("at", "event", "identity", "project", "allowed", "sentence", "id"))
                for row in rows
            ],
            audit=rows,
            sealed_until=None if (sealed := sealed_until(tx.conn)) is None else sealed.isoformat(),
        )
        return answered(found, tx)

    def noted(answer: Answer) -> dict[str, object]:
        details = {"rows": len(answer.value["rows"]), "event": query.event, "of": query.identity}
        return {"project": query.project, "details": details}

    # A search can take long, and nobody is to wait for it.
    return await call.read(work, noted=noted, event="audit.read", pool=call.house.pools.questions)


_Q = "/api/v1/questions"

ROUTES = (
    Route(
        "POST",
        _Q + "/can-i",
        PEOPLE,
        REGISTERED,
        can_i,
        "May I; or somebody else, with the right to read access.",
        body=CanI,
        answer=ResultView,
    ),
    Route(
        "POST",
        _Q + "/why",
        PEOPLE,
        REGISTERED,
        why,
        "Why a permission is held or not, and who could give it.",
        body=CanI,
        answer=ResultView,
    ),
    Route(
        "POST",
        _Q + "/who-can",
        PEOPLE,
        ACCESS,
        who_can,
        "Who holds a permission in a scope.",
        body=WhoCan,
        answer=ResultView,
    ),
    Route(
        "POST",
        _Q + "/what-if",
        PEOPLE,
        ACCESS,
        what_if,
        "The decision in a state that is not.",
        body=WhatIf,
        answer=ResultView,
    ),
    Route(
        "POST",
        _Q + "/projects-of",
        PEOPLE,
        REGISTERED,
        projects_of,
        "The projects and roles of somebody.",
        body=ProjectsOf,
        answer=ResultView,
    ),
    Route(
        "GET",
        "/api/v1/audit",
        PEOPLE,
        Need.operation("audit", "project"),
        audit,
        "Read the audit; itself recorded.",
        query=AuditQuery,
        answer=ResultView,
    ),
)
