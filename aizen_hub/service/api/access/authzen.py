"""Routes of the OpenID AuthZEN Authorization API 1.0, for other tools of the platform.

For service accounts only; each sees only the scopes in which it may read access. The audit records every decision.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from aizen_hub.authorization.queries import authzen
from aizen_hub.authorization.queries.authzen import EvaluationRequest
from aizen_hub.problems import BadInput
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
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
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.http.headers import joined_header
from aizen_hub.service.http.route import ANY_REGISTERED, CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.evaluation_item import Evaluated, EvaluationItem
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.transaction import ReadTransaction

_V1 = "/access/v1"
_KINDS = {kind.value: kind for kind in IdentityKind}
_STOP_ON = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}


async def evaluate(ctx: RequestContext) -> JsonResponse:
    return await _evaluate_alone(ctx, ctx.body)


async def evaluate_many(ctx: RequestContext) -> JsonResponse:
    body: Evaluations = ctx.body
    if not body.evaluations:
        return await _evaluate_alone(ctx, body)
    requests = [_evaluation_request(evaluation, body) for evaluation in body.evaluations]
    evaluations = await _evaluate(ctx, requests, stop_on=_STOP_ON[body.options.evaluations_semantic])
    response = {"evaluations": [_response(evaluated) for evaluated in evaluations]}
    return JsonResponse(response, headers=_request_id_header(ctx))


async def search_subject(ctx: RequestContext) -> JsonResponse:
    body: SubjectSearch = ctx.body
    kind = body.subject.type
    return await _search(
        ctx,
        lambda tx, after, limit: authzen.search_subjects(
            tx, ctx.actor, kind, body.action.name, body.resource, after, limit
        ),
        lambda name: {"type": kind, "id": name},
    )


async def search_resource(ctx: RequestContext) -> JsonResponse:
    body: ResourceSearch = ctx.body
    if body.resource.type != authzen.PROJECT:
        raise BadInput("only resources of the type `project` can be searched for")
    return await _search(
        ctx,
        lambda tx, after, limit: authzen.search_projects(tx, ctx.actor, body.subject, body.action.name, after, limit),
        lambda name: {"type": authzen.PROJECT, "id": name},
    )


async def search_action(ctx: RequestContext) -> JsonResponse:
    body: ActionSearch = ctx.body
    return await _search(
        ctx,
        lambda tx, after, limit: authzen.search_actions(tx, ctx.actor, body.subject, body.resource, after, limit),
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


async def _evaluate_alone(ctx: RequestContext, evaluation: PartialEvaluation | Evaluation) -> JsonResponse:
    (evaluated,) = await _evaluate(ctx, [_evaluation_request(evaluation, evaluation)], alone=True)
    ctx.decision_id = evaluated.record.id
    return JsonResponse(_response(evaluated), headers=_request_id_header(ctx))


async def _evaluate(
    ctx: RequestContext, requests: Sequence[EvaluationRequest], *, stop_on: bool | None = None, alone: bool = False
) -> Sequence[Evaluated]:
    service = ctx.service
    requirement = ctx.decision_request(AuthorizationRequest(None, SYSTEM))
    await _unauthorized_compile_rights(ctx, requests)
    item = EvaluationItem(requirement, requests, ctx.route.name, stop_on=stop_on, alone=alone)
    outcome = await service.decisions.decide_item(item)
    _count(service, [evaluated.record for evaluated in outcome.evaluations])
    if outcome.problem is not None:
        ctx.decision_id = outcome.evaluations[0].record.id
        if requirement.credential is not None:
            service.authenticator.service_accounts.forget(requirement.credential)
        raise outcome.problem
    return outcome.evaluations


def _count(service: ServiceContext, records: Sequence[AuditRecord]) -> None:
    for record in records:
        service.metrics.requests.count_decision(bool(record.allowed), str(record.reason))
    allowing = [record.assignment for record in records if record.allowed]
    for assignment in set(allowing):
        service.decisions.uses.count(assignment, records[0].at, allowing.count(assignment))


async def _unauthorized_compile_rights(ctx: RequestContext, requests: Sequence[EvaluationRequest]) -> None:
    """Compile the rights of new subjects before the batch, which others wait for: of a hundred that takes long (R125).

    Rights that change in between are compiled in the batch.
    """
    store = ctx.service.store
    subjects = {(request.subject.type, request.subject.id) for request in requests if request.subject is not None}
    identities = [Identity(_KINDS[kind], name) for kind, name in subjects if kind in _KINDS]
    missing = [identity for identity in identities if not store.cache.has_entry(identity)]
    if missing:

        def compile_rights(tx: ReadTransaction) -> None:
            for identity in missing:
                tx.rights(identity)

        await ctx.within_deadline(ctx.service.async_store.read(compile_rights, ctx.service.pools.queries))


def _response(evaluated: Evaluated) -> dict[str, Any]:
    record, error = evaluated
    if error is not None:
        message = {"status": error.status, "message": error.detail}
        return {"decision": False, "context": {"id": record.id, "error": message}}
    context = {"id": record.id, "reason": record.reason, "revision": record.revision}
    return {"decision": record.allowed, "context": context}


def _evaluation_request(
    evaluation: PartialEvaluation | Evaluation, defaults: PartialEvaluation | Evaluation
) -> EvaluationRequest:
    action = evaluation.action or defaults.action
    return EvaluationRequest(
        evaluation.subject or defaults.subject,
        None if action is None else action.name,
        evaluation.resource or defaults.resource,
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
        own_deadline=True,
        checks_credential=True,
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
        own_deadline=True,
        checks_credential=True,
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
