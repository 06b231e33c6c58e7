"""OpenID AuthZEN Authorization API 1.0 for the platform's other tools, over the same store and engine.

For service accounts only, and each sees only scopes in which it may read access. Every decision is a row of the audit.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from aizen_hub.accounts import evaluations
from aizen_hub.accounts.evaluations import Entity
from aizen_hub.problems import BadInput, Problem
from aizen_hub.service.call import Call
from aizen_hub.service.route import REGISTERED, ROAD, Answer, Credential, Route
from aizen_hub.service.schemas.authzen import (
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
from aizen_hub.store.transaction import Read, Write

_V1 = "/access/v1"
_STOPS_AT = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}


async def evaluation(call: Call) -> Answer:
    return await _answer(call, lambda tx: _decide(tx, call.body))


async def evaluations_(call: Call) -> Answer:
    body: Evaluations = call.body
    if not body.evaluations:
        return await _answer(call, lambda tx: _decide(tx, body))
    stops_at = _STOPS_AT[body.options.evaluations_semantic]

    def work(tx: Write) -> dict[str, Any]:
        out: list[dict[str, Any]] = []
        for one in body.evaluations:
            try:
                out.append(_decide(tx, one, above=body))
            except Problem as problem:
                error = {"status": problem.status, "message": problem.detail}
                out.append({"decision": False, "context": {"error": error}})
            if out[-1]["decision"] is stops_at:
                break
        return {"evaluations": out}

    return await _answer(call, work)


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


def _decide(tx: Write, asked: PartialEvaluation | Evaluation, above: PartialEvaluation | None = None) -> dict[str, Any]:
    subject = asked.subject or (above and above.subject)
    action = asked.action or (above and above.action)
    resource = asked.resource or (above and above.resource)
    if not (subject and action and resource):
        raise BadInput("a question needs its `subject`, `action` and `resource`")
    decision, number = evaluations.evaluate(tx, _entity(subject), action.name, _entity(resource))
    context = {"id": number, "reason": str(decision.reason), "revision": tx.revision}
    return {"decision": decision.allowed, "context": context}


async def _answer(call: Call, work: Callable[[Write], dict[str, Any]]) -> Answer:
    return await call.write(lambda tx, _: Answer(work(tx), headers=_echoed(call)))


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
    given = call.headers.get("X-Request-ID") or ""
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
