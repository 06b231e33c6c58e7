"""Routes for assignments, limits and locks."""

from __future__ import annotations

from sqlalchemy import select

from aizen_hub.accounts.roles import assignments, limits
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result, truncated_table
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.api.change_response import authorized_result
from aizen_hub.service.api.schemas.access import (
    AssignmentsQuery,
    LimitSetting,
    LimitsQuery,
    LockRemoval,
    NewLock,
    RoleGrant,
    RoleRevocation,
    canonical_identity,
)
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_a = tables.assignments
_MAX_ROWS = 1000


async def list_assignments(ctx: RequestContext) -> JsonResponse:
    query = ctx.query

    def operation(tx: WriteTransaction) -> Result:
        scope = query.scope
        if query.identity != str(ctx.identity):
            if scope not in (None, SYSTEM):
                checks.require_visible_project(tx, scope)
            checks.require(tx, checks.endpoint_permission(tx, "access"), scope or SYSTEM)
            details = {"query": "assignments", "target": query.identity}
            tx.audit("access.read", project=project_of(scope), details=details)
        conditions = [
            column == value
            for column, value in ((_a.c.identity, query.identity), (_a.c.scope, scope), (_a.c.role, query.role))
            if value is not None
        ]
        rows = tx.conn.execute(
            select(_a).where(*conditions).order_by(_a.c.scope, _a.c.role, _a.c.identity).limit(_MAX_ROWS + 1)
        ).all()
        return truncated_table(
            ("id", "role", "scope", "identity", "from", "until", "reason", "granted by", "granted"),
            [
                (
                    str(row.id),
                    row.role,
                    row.scope,
                    row.identity,
                    row.starts,
                    row.ends,
                    row.reason,
                    row.granted_by,
                    row.granted,
                )
                for row in rows
            ],
            _MAX_ROWS,
        )

    return await authorized_result(ctx, operation)


async def grant_roles(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    interval = Interval(body.starts, body.ends)
    return await authorized_result(
        ctx,
        lambda tx: assignments.grant_roles(
            tx, body.roles, body.scope, Identity.parse(body.identity), interval=interval, reason=body.reason
        ),
        201,
    )


async def revoke_roles(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: assignments.revoke_roles(
            tx, body.roles, body.scope, Identity.parse(body.identity), reason=body.reason
        ),
    )


async def list_limits(ctx: RequestContext) -> JsonResponse:
    query = ctx.query

    def operation(tx: WriteTransaction) -> Result:
        identity = ctx.identity if query.identity is None else Identity.parse(query.identity)
        if query.scope != SYSTEM:
            checks.require_visible_project(tx, query.scope)
        if identity != ctx.identity:
            checks.require(tx, checks.endpoint_permission(tx, "access"), query.scope)
            tx.audit(
                "access.read",
                project=project_of(query.scope),
                details={"query": "limits", "target": str(identity)},
            )
        effective = limits.limits_of(tx, identity, query.scope)
        return table_result(
            ("limit", "value", "source"), [(str(kind), limit.value, limit.source) for kind, limit in effective.items()]
        )

    return await authorized_result(ctx, operation)


async def set_limit(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx, lambda tx: limits.set_limit(tx, Identity.parse(body.identity), body.scope, body.kind, body.value)
    )


def _lock_target_name(body: NewLock | LockRemoval) -> str:
    if body.target != LockTarget.IDENTITY.value:
        return body.name
    try:
        return canonical_identity(body.name)
    except ValueError as error:
        raise BadInput(str(error)) from None


async def list_locks(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, locks.list_locks)


async def create_lock(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: locks.lock_target(
            tx, LockTarget(body.target), _lock_target_name(body), reason=body.reason, ends=body.ends
        ),
        201,
    )


async def remove_lock(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: locks.unlock_target(
            tx, LockTarget(body.target), _lock_target_name(body), reason=body.reason, ends=body.ends
        ),
    )


GRANT, REVOKE = Requirement.same_as_command("grant_role", "scope"), Requirement.same_as_command("revoke_role", "scope")
LIMITS, LOCKS = Requirement.endpoint("limits", "scope"), Requirement.endpoint("locks")

ROUTES = (
    Route(
        "GET",
        "/api/v1/assignments",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_assignments,
        "List assignments: your own, or those of others with the permission to read access.",
        query=AssignmentsQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/assignments",
        ROLE_CHECKED_METHODS,
        GRANT,
        grant_roles,
        "Grant roles.",
        body=RoleGrant,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "POST",
        "/api/v1/assignments/revoke",
        ROLE_CHECKED_METHODS,
        REVOKE,
        revoke_roles,
        "Revoke roles.",
        body=RoleRevocation,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        "/api/v1/limits",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_limits,
        "List the limits of an identity, and their sources.",
        query=LimitsQuery,
        response=ResultView,
    ),
    Route(
        "PUT",
        "/api/v1/limits",
        ROLE_CHECKED_METHODS,
        LIMITS,
        set_limit,
        "Set or remove a limit of an identity.",
        body=LimitSetting,
        response=ResultView,
        idempotent=True,
    ),
    Route("GET", "/api/v1/locks", ROLE_CHECKED_METHODS, LOCKS, list_locks, "List the locks.", response=ResultView),
    Route(
        "POST",
        "/api/v1/locks",
        ROLE_CHECKED_METHODS,
        LOCKS,
        create_lock,
        "Lock an identity, a project or a session now.",
        body=NewLock,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "POST",
        "/api/v1/locks/remove",
        ROLE_CHECKED_METHODS,
        LOCKS,
        remove_lock,
        "Remove a lock, now or at a time; it waits for confirmation in the panel.",
        body=LockRemoval,
        response=ResultView,
        idempotent=True,
    ),
)
