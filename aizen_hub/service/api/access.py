"""Who has what: assignments, limits and locks."""

from __future__ import annotations

from sqlalchemy import select

from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, first, table
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.api.change_response import change
from aizen_hub.service.api.schemas.access import (
    AssignmentsQuery,
    Grant,
    LimitSetting,
    LimitsQuery,
    NewLock,
    Revocation,
    Unlock,
    canonical_identity,
)
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store import tables
from aizen_hub.store.transaction import Write

_a = tables.assignments
_MOST = 1000


async def list_assignments(call: Call) -> Answer:
    query = call.query

    def work(tx: Write) -> Result:
        own = str(call.identity)
        scope = query.scope
        if query.identity != own:
            if scope not in (None, SYSTEM):
                gate.need_project(tx, scope)
            gate.need(tx, gate.permission(tx, "access"), scope or SYSTEM)
            details = {"question": "assignments", "target": query.identity}
            tx.audit("access.read", project=project_of(scope), details=details)
        wanted = [
            column == value
            for column, value in ((_a.c.identity, query.identity), (_a.c.scope, scope), (_a.c.role, query.role))
            if value is not None
        ]
        rows = tx.conn.execute(
            select(_a).where(*wanted).order_by(_a.c.scope, _a.c.role, _a.c.identity).limit(_MOST + 1)
        ).all()
        return first(
            ("id", "role", "scope", "identity", "from", "until", "reason", "granted by", "granted"),
            [
                (
                    str(one.id),
                    one.role,
                    one.scope,
                    one.identity,
                    one.starts,
                    one.ends,
                    one.reason,
                    one.granted_by,
                    one.granted,
                )
                for one in rows
            ],
            _MOST,
        )

    return await change(call, work)


async def grant(call: Call) -> Answer:
    body = call.body
    interval = Interval(body.starts, body.ends)
    return await change(
        call,
        lambda tx: assignments.grant(
            tx, body.roles, body.scope, Identity.parse(body.identity), interval=interval, reason=body.reason
        ),
        201,
    )


async def revoke(call: Call) -> Answer:
    body = call.body
    return await change(
        call,
        lambda tx: assignments.revoke(tx, body.roles, body.scope, Identity.parse(body.identity), reason=body.reason),
    )


async def show_limits(call: Call) -> Answer:
    query = call.query

    def work(tx: Write) -> Result:
        whom = call.identity if query.identity is None else Identity.parse(query.identity)
        if query.scope != SYSTEM:
            gate.need_project(tx, query.scope)
        if whom != call.identity:
            gate.need(tx, gate.permission(tx, "access"), query.scope)
            tx.audit(
                "access.read",
                project=project_of(query.scope),
                details={"question": "limits", "target": str(whom)},
            )
        found = limits.of(tx, whom, query.scope)
        return table(
            ("limit", "value", "source"), [(str(kind), bound.value, bound.source) for kind, bound in found.items()]
        )

    return await change(call, work)


async def set_limit(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: limits.put(tx, Identity.parse(body.identity), body.scope, body.kind, body.value)
    )


def _locked(body: NewLock | Unlock) -> str:
    if body.target != LockTarget.IDENTITY.value:
        return body.name
    try:
        return canonical_identity(body.name)
    except ValueError as error:
        raise BadInput(str(error)) from None


async def list_locks(call: Call) -> Answer:
    return await change(call, locks.list_locks)


async def lock(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: locks.lock(tx, LockTarget(body.target), _locked(body), reason=body.reason, ends=body.ends), 201
    )


async def unlock(call: Call) -> Answer:
    return await change(call, lambda tx: locks.unlock(tx, LockTarget(call.body.target), _locked(call.body)))


GRANT, REVOKE = Need.like("grant_role", "scope"), Need.like("revoke_role", "scope")
LIMITS, LOCKS = Need.operation("limits", "scope"), Need.operation("locks")

ROUTES = (
    Route(
        "GET",
        "/api/v1/assignments",
        PEOPLE,
        REGISTERED,
        list_assignments,
        "Who has which role where: one's own, or with the right to read access.",
        query=AssignmentsQuery,
        answer=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/assignments",
        PEOPLE,
        GRANT,
        grant,
        "Grant roles.",
        body=Grant,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "POST",
        "/api/v1/assignments/revoke",
        PEOPLE,
        REVOKE,
        revoke,
        "Take roles away.",
        body=Revocation,
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "GET",
        "/api/v1/limits",
        PEOPLE,
        REGISTERED,
        show_limits,
        "The limits that bind somebody, and where they come from.",
        query=LimitsQuery,
        answer=ResultView,
    ),
    Route(
        "PUT",
        "/api/v1/limits",
        PEOPLE,
        LIMITS,
        set_limit,
        "Set a limit on an identity, or take it away.",
        body=LimitSetting,
        answer=ResultView,
        keyed=True,
    ),
    Route("GET", "/api/v1/locks", PEOPLE, LOCKS, list_locks, "List the locks.", answer=ResultView),
    Route(
        "POST",
        "/api/v1/locks",
        PEOPLE,
        LOCKS,
        lock,
        "Stop a person, a project or a session now.",
        body=NewLock,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "POST",
        "/api/v1/locks/remove",
        PEOPLE,
        LOCKS,
        unlock,
        "Take a lock away.",
        body=Unlock,
        answer=ResultView,
        keyed=True,
    ),
)
