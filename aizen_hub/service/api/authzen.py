"""Routes of the OpenID AuthZEN Authorization API 1.0, for other tools of the platform.

For service accounts only; each sees only the scopes in which it may read access. The audit records every decision.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aizen_hub.authorization.queries import authzen
from aizen_hub.authorization.queries.authzen import Entity, EvaluationRequest
from aizen_hub.problems import BadInput, Problem
from aizen_hub.service.api.schemas.authzen import (
    ActionSearch,
    Evaluation,
    EvaluationResponse,
    Evaluations,
    EvaluationsResponse,
    Metadata,
    PartialEvaluation,
    ResourceSearch,
    SearchResponse,
    SubjectSearch,
)
from aizen_hub.service.denial_response import recorded_reason
from aizen_hub.service.http.headers import joined_header
from aizen_hub.service.http.route import ANY_REGISTERED, CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.service.thread_pools import Pool
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.transaction import ReadTransaction

_V1 = "/access/v1"
_STOP_ON = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """One response and its audit record."""

    response: dict[str, Any]
    record: AuditRecord


async def evaluate(ctx: RequestContext) -> JsonResponse:
    return await _evaluate_one(ctx, ctx.body)


async def evaluate_many(ctx: RequestContext) -> JsonResponse:
    body: Evaluations = ctx.body
    if not body.evaluations:
        return await _evaluate_one(ctx, body)
    stop_on = _STOP_ON[body.options.evaluations_semantic]

    def operation(tx: ReadTransaction) -> list[RecordedEvaluation]:
        results: list[RecordedEvaluation] = []
        for evaluation in body.evaluations:
            results.append(_evaluate_or_error(tx, ctx.actor, _evaluation_request(evaluation, defaults=body)))
            if results[-1].record.allowed is stop_on:
                break
        return results

    # In the pool for long queries: compiling the rights of a hundred new subjects takes time.
    results = await _evaluate_recorded(ctx, operation, ctx.service.pools.queries)
    return JsonResponse({"evaluations": [result.response for result in results]}, headers=_request_id_header(ctx))


async def search_subject(ctx: RequestContext) -> JsonResponse:
    body: SubjectSearch = ctx.body
    kind = body.subject.type
    return await _search(
        ctx,
        lambda tx, after, limit: authzen.search_subjects(
            tx, ctx.actor, kind, body.action.name, _entity(body.resource), after, limit
        ),
        lambda name: {"type": kind, "id": name},
    )


async def search_resource(ctx: RequestContext) -> JsonResponse:
    body: ResourceSearch = ctx.body
    if body.resource.type != authzen.PROJECT:
        raise BadInput("only resources of the type `project` can be searched for")
    return await _search(
        ctx,
        lambda tx, after, limit: authzen.search_projects(
            tx, ctx.actor, _entity(body.subject), body.action.name, after, limit
        ),
        lambda name: {"type": authzen.PROJECT, "id": name},
    )


async def search_action(ctx: RequestContext) -> JsonResponse:
    body: ActionSearch = ctx.body
    return await _search(
        ctx,
        lambda tx, after, limit: authzen.search_actions(
            tx, ctx.actor, _entity(body.subject), _entity(body.resource), after, limit
        ),
        lambda name: {"name": name},
    )


async def show_metadata(ctx: RequestContext) -> JsonResponse:
    root = ctx.service.settings.service_url
    return JsonResponse(
        {
            "policy_decision_point": root,
            "access_evaluation_endpoint": f"{root}{_V1}/evaluation",
            "access_evaluations_endpoint": f"{root}{_V1}/evaluations",
            "search_subject_endpoint": f"{root}{_V1}/search/subject",
            "search_resource_endpoint": f"{root}{_V1}/search/resource",
            "search_action_endpoint": f"{root}{_V1}/search/action",
        }
    )


async def _evaluate_one(ctx: RequestContext, evaluation: PartialEvaluation | Evaluation) -> JsonResponse:
    def operation(tx: ReadTransaction) -> list[RecordedEvaluation]:
        return [_to_response(authzen.evaluate(tx, ctx.actor, _evaluation_request(evaluation)))]

    (result,) = await _evaluate_recorded(ctx, operation)
    ctx.decision_id = result.record.id
    return JsonResponse(result.response, headers=_request_id_header(ctx))


async def _evaluate_recorded(
    ctx: RequestContext, operation: Callable[[ReadTransaction], list[RecordedEvaluation]], pool: Pool | None = None
) -> list[RecordedEvaluation]:
    discarded: list[AuditRecord] = []  # of the last attempt, which came too late

    def audit_records(results: list[RecordedEvaluation]) -> list[AuditRecord]:
        records = [result.record for result in results]
        for index, before in enumerate(discarded[: len(records)]):
            records[index] = replace(records[index], details={**records[index].details, "supersedes": before.id})
        discarded[:] = records
        return records

    results = await ctx.authorized_evaluation(operation, audit_records, pool=pool)
    for result in results:
        ctx.service.metrics.count_decision(bool(result.record.allowed), str(result.record.reason))
    return results


def _evaluate_or_error(tx: ReadTransaction, actor: Actor, request: EvaluationRequest) -> RecordedEvaluation:
    """Evaluate one of several requests; an error is returned in its place and does not affect the others."""
    try:
        return _to_response(authzen.evaluate(tx, actor, request))
    except Problem as problem:
        error = {"status": problem.status, "message": problem.detail}
        record = authzen.denied_evaluation(tx, actor, request, recorded_reason(problem), problem.detail)
        return RecordedEvaluation({"decision": False, "context": {"id": record.id, "error": error}}, record)


def _to_response(record: AuditRecord) -> RecordedEvaluation:
    context = {"id": record.id, "reason": record.reason, "revision": record.revision}
    return RecordedEvaluation({"decision": bool(record.allowed), "context": context}, record)


def _evaluation_request(
    evaluation: PartialEvaluation | Evaluation, defaults: PartialEvaluation | None = None
) -> EvaluationRequest:
    fallback = evaluation if defaults is None else defaults
    subject = evaluation.subject or fallback.subject
    action = evaluation.action or fallback.action
    resource = evaluation.resource or fallback.resource
    return EvaluationRequest(
        None if subject is None else _entity(subject),
        None if action is None else action.name,
        None if resource is None else _entity(resource),
    )


async def _search(
    ctx: RequestContext,
    find: Callable[[ReadTransaction, str, int], tuple[list[str], str | None]],
    to_entity: Callable[[str], dict[str, str]],
) -> JsonResponse:
    page = ctx.body.page
    after = _decode_page_token(page.token)
    names, next_name = await ctx.authorized_read(
        lambda tx: find(tx, after, page.limit),
        audit_details=lambda result: {"details": {"query": ctx.route.path, "found": len(result[0])}},
        pool=ctx.service.pools.queries,
    )
    next_token = "" if next_name is None else base64.urlsafe_b64encode(next_name.encode()).decode()
    response = {"results": [to_entity(name) for name in names], "page": {"next_token": next_token, "count": len(names)}}
    return JsonResponse(response, headers=_request_id_header(ctx))


def _decode_page_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise BadInput("`page.token` was not issued by this service") from None


def _entity(document: Any) -> Entity:
    return Entity(document.type, document.id)


def _request_id_header(ctx: RequestContext) -> dict[str, str]:
    value = joined_header(ctx.headers, "X-Request-ID")
    return {"X-Request-ID": value} if 0 < len(value) <= 128 and value.isascii() and value.isprintable() else {}


_SERVICE_ACCOUNTS = frozenset({AuthMethod.SERVICE_ACCOUNT})

ROUTES = (
    Route(
        "POST",
        f"{_V1}/evaluation",
        _SERVICE_ACCOUNTS,
        ANY_REGISTERED,
        evaluate,
        "AuthZEN: decide whether a subject may do an action on a resource.",
        body=Evaluation,
        response=EvaluationResponse,
    ),
    Route(
        "POST",
        f"{_V1}/evaluations",
        _SERVICE_ACCOUNTS,
        ANY_REGISTERED,
        evaluate_many,
        "AuthZEN: decide several requests at once.",
        body=Evaluations,
        response=EvaluationsResponse,
    ),
    Route(
        "POST",
        f"{_V1}/search/subject",
        _SERVICE_ACCOUNTS,
        ANY_REGISTERED,
        search_subject,
        "AuthZEN: list the subjects that may do an action on a resource.",
        body=SubjectSearch,
        response=SearchResponse,
    ),
    Route(
        "POST",
        f"{_V1}/search/resource",
        _SERVICE_ACCOUNTS,
        ANY_REGISTERED,
        search_resource,
        "AuthZEN: list the projects on which a subject may do an action.",
        body=ResourceSearch,
        response=SearchResponse,
    ),
    Route(
        "POST",
        f"{_V1}/search/action",
        _SERVICE_ACCOUNTS,
        ANY_REGISTERED,
        search_action,
        "AuthZEN: list the actions that a subject may do on a resource.",
        body=ActionSearch,
        response=SearchResponse,
    ),
    Route(
        "GET",
        "/.well-known/authzen-configuration",
        frozenset({AuthMethod.NONE}),
        CREDENTIAL_SUFFICES,
        show_metadata,
        "AuthZEN: addresses of these endpoints.",
        response=Metadata,
        available_when_sealed=True,
    ),
)
