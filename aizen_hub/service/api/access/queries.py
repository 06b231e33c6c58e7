"""Routes for access queries and the audit search."""

from __future__ import annotations

from dataclasses import replace

from aizen_hub.audit.archive.manifest import archived_until
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.audit.target_search import search_target
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries import access_queries
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState, hypothetical_rights
from aizen_hub.authorization.queries.member_matrix import member_matrix
from aizen_hub.authorization.queries.role_coverage import commands_in
from aizen_hub.commands.result import Result, table_result
from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, ScopeKind, project_of
from aizen_hub.service.api.access.questions import PermissionQuestion, resolve_question
from aizen_hub.service.api.change_response import authorized_result, result_response
from aizen_hub.service.api.schemas.access_queries import (
    AuditQuery,
    CanIQuery,
    CommandsOfQuery,
    ProjectsOfQuery,
    WhatIfQuery,
    WhoCanQuery,
)
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.denials.grant_denial import decide_grant
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

ACCESS = Requirement.endpoint("access", "scope")


def _parse_identity(text: str | None) -> Identity | None:
    return None if text is None else Identity.parse(text)


async def can_i(ctx: RequestContext) -> JsonResponse:
    identity = _parse_identity(ctx.body.identity)
    question = resolve_question(ctx, ctx.body, identity or ctx.identity)

    def operation(tx: WriteTransaction) -> Result:
        decision = access_queries.can_i(tx, question.permission, question.scope, identity)
        if question.grant is not None:
            asking = tx.actor.identity
            decision = decide_grant(tx, decision, question.grant, tx.rights(identity or asking), asking)
        data = {
            "allowed": decision.allowed,
            "reason": str(decision.reason),
            "sentence": decision.sentence,
            "assignment": decision.assignment_id,
            "role": decision.role,
            "via": [str(group) for group in decision.via],
        }
        return Result("object", decision.sentence, data=data)

    return await authorized_result(ctx, operation)


async def why(ctx: RequestContext) -> JsonResponse:
    identity = _parse_identity(ctx.body.identity)
    question = resolve_question(ctx, ctx.body, identity or ctx.identity)

    def operation(tx: WriteTransaction) -> Result:
        result = access_queries.explain_access(tx, question.permission, question.scope, identity)
        return _with_grant(tx, result, question, tx.rights(identity or tx.actor.identity))

    return await authorized_result(ctx, operation)


def _with_grant(tx: WriteTransaction, result: Result, question: PermissionQuestion, rights: Rights) -> Result:
    """Return an explanation of a permission with the decision on what would be granted by it."""
    if question.grant is None or not result.data["allowed"]:
        return result
    permission_held = Decision(True, Reason.OPEN, result.message)
    decision = decide_grant(tx, permission_held, question.grant, rights, tx.actor.identity)
    if decision.allowed:
        return result
    refusal = {"allowed": False, "reason": str(decision.reason), "sentence": decision.sentence, "winning": None}
    return replace(result, message=decision.sentence, data={**result.data, **refusal})


async def who_can(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    project = project_of(body.scope)
    return await ctx.authorized_read(
        lambda tx: result_response(access_queries.who_can(tx, ctx.actor, body.permission, body.scope), tx),
        audit_details=lambda _: {"project": project, "details": {"query": "who-can", "permission": body.permission}},
        pool=ctx.service.pools.queries,
    )


async def what_if(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    hypothetical = HypotheticalState(
        tuple((item.role, item.scope, Identity.parse(item.identity)) for item in body.assignments),
        tuple(body.groups),
        body.at,
    )
    identity = Identity.parse(body.identity)
    question = resolve_question(ctx, body, identity)

    def operation(tx: WriteTransaction) -> Result:
        result = access_queries.what_if(tx, question.permission, question.scope, identity, hypothetical)
        return _with_grant(tx, result, question, hypothetical_rights(tx, identity, hypothetical))

    return await authorized_result(ctx, operation)


async def commands_of(ctx: RequestContext) -> JsonResponse:
    identity, scope = Identity.parse(ctx.query.identity), ctx.query.scope

    def operation(tx: ReadTransaction) -> JsonResponse:
        entries = commands_in(tx.catalog, ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT)
        (row,) = member_matrix(tx, scope, [identity], entries)
        rows: list[tuple[object, ...]] = [
            (entry.name, scope, answer.ends, entry.description)
            for entry, answer in zip(entries, row.answers, strict=True)
            if answer.is_yes
        ]
        return result_response(table_result(("command", "scope", "until", "description"), rows), tx)

    details = {"query": "commands", "target": str(identity)}
    return await ctx.authorized_read(
        operation,
        audit_details=lambda _: {"project": project_of(scope), "details": details},
        pool=ctx.service.pools.queries,
    )


async def projects_of(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: access_queries.list_projects_of(tx, _parse_identity(ctx.body.identity))
    )


async def search_audit(ctx: RequestContext) -> JsonResponse:
    query = ctx.query
    audit_filter = AuditFilter(query.identity, query.project, query.event, query.id, query.since, query.until)

    def operation(tx: ReadTransaction) -> JsonResponse:
        # Required system-wide for all rows, or in one project for its rows; the query filters either way (R72, R100).
        checks.require_for(tx, ctx.actor, checks.endpoint_permission(tx, "audit"), query.project or SYSTEM)
        if query.target is None:
            records, examined_until = search_newest(tx.conn, audit_filter, query.limit), None
        else:
            records, examined_until = search_target(tx.conn, audit_filter, query.target, query.limit)
        result = table_result(
            ("at", "event", "identity", "project", "allowed", "sentence", "id"),
            [
                tuple(record.get(name) for name in ("at", "event", "identity", "project", "allowed", "sentence", "id"))
                for record in records
            ],
            audit=records,
            archived_until=None if (archived := archived_until(tx.conn)) is None else archived.isoformat(),
            examined_until=None if examined_until is None else examined_until.isoformat(),
        )
        return result_response(result, tx)

    def audit_details(response: JsonResponse) -> dict[str, object]:
        details = {"rows": len(response.value["rows"]), "event": query.event, "of": query.identity or query.target}
        return {"project": query.project, "details": details}

    # In the pool for long queries: a search must not delay other requests.
    return await ctx.authorized_read(
        operation, audit_details=audit_details, event="audit.read", pool=ctx.service.pools.queries
    )


_PATH = "/api/v1/access-queries"

ROUTES = (
    Route(
        "POST",
        _PATH + "/can-i",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        can_i,
        "Ask whether you may run a command or hold a permission; or another identity, if you may read access.",
        body=CanIQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH + "/why",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        why,
        "Explain why a permission is held or not, and who can grant it.",
        body=CanIQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH + "/who-can",
        ROLE_CHECKED_METHODS,
        ACCESS,
        who_can,
        "List the holders of a permission in a scope.",
        body=WhoCanQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH + "/what-if",
        ROLE_CHECKED_METHODS,
        ACCESS,
        what_if,
        "Decide under hypothetical assignments and group memberships.",
        body=WhatIfQuery,
        response=ResultView,
    ),
    Route(
        "GET",
        _PATH + "/commands",
        ROLE_CHECKED_METHODS,
        ACCESS,
        commands_of,
        "List the commands of a scope that an identity may give now.",
        query=CommandsOfQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH + "/projects-of",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        projects_of,
        "List the projects and roles of an identity.",
        body=ProjectsOfQuery,
        response=ResultView,
    ),
    Route(
        "GET",
        "/api/v1/audit",
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("audit", "project"),
        search_audit,
        "Search the audit; the search itself is recorded.",
        query=AuditQuery,
        response=ResultView,
    ),
)
