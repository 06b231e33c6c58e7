"""OpenID AuthZEN Authorization API 1.0 for the platform's other tools, over the same store and engine.

For service accounts only, and each sees only scopes in which it may read access. Every decision is a row of the audit.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aizen_hub.authorization.queries import authzen as evaluations
from aizen_hub.authorization.queries.authzen import Asked, Entity
from aizen_hub.problems import BadInput, Problem
from aizen_hub.service.api.schemas.authzen import (
    ActionSearch,
    DecisionAnswer,
    DecisionsAnswer,
    Evaluation,
    Evaluations,
    Metadata,
    PartialEvaluation,
    ResourceSearch,
    SearchAnswer,
    SubjectSearch,
)
from aizen_hub.service.http.request import joined
from aizen_hub.service.http.route import REGISTERED, ROAD, Answer, Credential, Route
from aizen_hub.service.pipeline.denial_response import reason_of
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.service.thread_pools import Pool
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRow
from aizen_hub.store.transaction import Read

_V1 = "/access/v1"
_STOPS_AT = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer and its row."""

    answer: dict[str, Any]
    row: AuditRow


async def evaluation(call: Call) -> Answer:
    return await _one(call, call.body)


async def evaluations_(call: Call) -> Answer:
    body: Evaluations = call.body
    if not body.evaluations:
        return await _one(call, body)
    stops_at = _STOPS_AT[body.options.evaluations_semantic]

    def work(tx: Read) -> list[Outcome]:
        out: list[Outcome] = []
        for one in body.evaluations:
            out.append(_answered(tx, call.actor, _asked(one, above=body)))
            if out[-1].row.allowed is stops_at:
                break
        return out

    # A hundred subjects of whom nobody asked before take their time, so they wait with the long questions.
    found = await _judged(call, work, call.house.pools.questions)
    return Answer({"evaluations": [one.answer for one in found]}, headers=_echoed(call))


async def search_subject(call: Call) -> Answer:
    body: SubjectSearch = call.body
    kind = body.subject.type
    return await _search(
        call,
        lambda tx, after, limit: evaluations.subjects(
            tx, call.actor, kind, body.action.name, _entity(body.resource), after, limit
        ),
        lambda name: {"type": kind, "id": name},
    )


async def search_resource(call: Call) -> Answer:
    body: ResourceSearch = call.body
    if body.resource.type != evaluations.PROJECT:
        raise BadInput("only resources of the type `project` can be searched for")
    return await _search(
        call,
        lambda tx, after, limit: evaluations.projects(
            tx, call.actor, _entity(body.subject), body.action.name, after, limit
        ),
        lambda name: {"type": evaluations.PROJECT, "id": name},
    )


async def search_action(call: Call) -> Answer:
    body: ActionSearch = call.body
    return await _search(
        call,
        lambda tx, after, limit: evaluations.actions(
            tx, call.actor, _entity(body.subject), _entity(body.resource), after, limit
        ),
        lambda name: {"name": name},
    )


async def metadata(call: Call) -> Answer:
    root = call.house.settings.service_url
    return Answer(
        {
            "policy_decision_point": root,
            "access_evaluation_endpoint": f"{root}{_V1}/evaluation",
            "access_evaluations_endpoint": f"{root}{_V1}/evaluations",
            "search_subject_endpoint": f"{root}{_V1}/search/subject",
            "search_resource_endpoint": f"{root}{_V1}/search/resource",
            "search_action_endpoint": f"{root}{_V1}/search/action",
        }
    )


async def _one(call: Call, asked: PartialEvaluation | Evaluation) -> Answer:
    (found,) = await _judged(call, lambda tx: [_told(evaluations.evaluate(tx, call.actor, _asked(asked)))])
    call.decision = found.row.id
    return Answer(found.answer, headers=_echoed(call))


async def _judged(call: Call, work: Callable[[Read], list[Outcome]], pool: Pool | None = None) -> list[Outcome]:
    late: list[AuditRow] = []

    def rows(found: list[Outcome]) -> list[AuditRow]:
        out = [one.row for one in found]
        for index, before in enumerate(late[: len(out)]):
            out[index] = replace(out[index], details={**out[index].details, "again": before.id})
        late[:] = out
        return out

    found = await call.judge(work, rows, pool=pool)
    for one in found:
        call.house.metrics.decision(bool(one.row.allowed), str(one.row.reason))
    return found


def _answered(tx: Read, actor: Actor, asked: Asked) -> Outcome:
    """Answer one of several questions: what is wrong with it is told in its place and spoils no other."""
    try:
        return _told(evaluations.evaluate(tx, actor, asked))
    except Problem as problem:
        error = {"status": problem.status, "message": problem.detail}
        row = evaluations.refused(tx, actor, asked, reason_of(problem), problem.detail)
        return Outcome({"decision": False, "context": {"id": row.id, "error": error}}, row)


def _told(row: AuditRow) -> Outcome:
    context = {"id": row.id, "reason": row.reason, "revision": row.revision}
    return Outcome({"decision": bool(row.allowed), "context": context}, row)


def _asked(one: PartialEvaluation | Evaluation, above: PartialEvaluation | None = None) -> Asked:
    rest = one if above is None else above
    subject, action, resource = one.subject or rest.subject, one.action or rest.action, one.resource or rest.resource
    return Asked(
        None if subject is None else _entity(subject),
        None if action is None else action.name,
        None if resource is None else _entity(resource),
    )


async def _search(
    call: Call,
    find: Callable[[Read, str, int], tuple[list[str], str | None]],
    shown: Callable[[str], dict[str, str]],
) -> Answer:
    page = call.body.page
    after = _position(page.token)
    found, more = await call.read(
        lambda tx: find(tx, after, page.limit),
        noted=lambda result: {"details": {"question": call.route.path, "found": len(result[0])}},
        pool=call.house.pools.questions,
    )
    following = "" if more is None else base64.urlsafe_b64encode(more.encode()).decode()
    answer = {"results": [shown(name) for name in found], "page": {"next_token": following, "count": len(found)}}
    return Answer(answer, headers=_echoed(call))


def _position(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise BadInput("`page.token` is not one that we gave") from None


def _entity(given: Any) -> Entity:
    return Entity(given.type, given.id)


def _echoed(call: Call) -> dict[str, str]:
    given = joined(call.headers, "X-Request-ID")
    return {"X-Request-ID": given} if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else {}


_ACCOUNTS = frozenset({Credential.SERVICE_ACCOUNT})

ROUTES = (
    Route(
        "POST",
        f"{_V1}/evaluation",
        _ACCOUNTS,
        REGISTERED,
        evaluation,
        "AuthZEN: may this subject do this action on this resource.",
        body=Evaluation,
        answer=DecisionAnswer,
    ),
    Route(
        "POST",
        f"{_V1}/evaluations",
        _ACCOUNTS,
        REGISTERED,
        evaluations_,
        "AuthZEN: several questions at once.",
        body=Evaluations,
        answer=DecisionsAnswer,
    ),
    Route(
        "POST",
        f"{_V1}/search/subject",
        _ACCOUNTS,
        REGISTERED,
        search_subject,
        "AuthZEN: who may do this action on this resource.",
        body=SubjectSearch,
        answer=SearchAnswer,
    ),
    Route(
        "POST",
        f"{_V1}/search/resource",
        _ACCOUNTS,
        REGISTERED,
        search_resource,
        "AuthZEN: on which projects this subject may do this action.",
        body=ResourceSearch,
        answer=SearchAnswer,
    ),
    Route(
        "POST",
        f"{_V1}/search/action",
        _ACCOUNTS,
        REGISTERED,
        search_action,
        "AuthZEN: which actions this subject may do on this resource.",
        body=ActionSearch,
        answer=SearchAnswer,
    ),
    Route(
        "GET",
        "/.well-known/authzen-configuration",
        frozenset({Credential.NONE}),
        ROAD,
        metadata,
        "AuthZEN: where these endpoints are.",
        answer=Metadata,
        always=True,
    ),
)
