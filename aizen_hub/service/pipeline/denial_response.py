"""How a denial is told: in full to people of the project, and to others as if the project did not exist (R72)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.decisions.decision_service import Question, Ruling
from aizen_hub.authorization.queries import access_queries as questions
from aizen_hub.problems import Denied, NotAuthenticated, NotFound, Problem, ProjectRequired
from aizen_hub.rbac.decision import Reason
from aizen_hub.rbac.messages import place
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.audit_log.record import AuditRow
from aizen_hub.store.transaction import Read

if TYPE_CHECKING:
    from aizen_hub.service.pipeline.request_context import Call


async def shown(call: Call, ruling: Ruling, question: Question) -> dict[str, Any]:
    """Return a ruling as its asker may see it."""
    if ruling.decision.allowed or ruling.code is not None or _is_known(question):
        return view(ruling)

    def work(tx: Read) -> dict[str, Any]:
        return _hidden_view(question.request.scope or SYSTEM, ruling) if _is_hidden(tx, question) else view(ruling)

    async with asyncio.timeout(call.house.settings.service.deadline_seconds):
        return await call.look(work)


async def problem(call: Call, ruling: Ruling, question: Question) -> Problem:
    """Return what a denied command is answered with; it is looked at once more, off the event loop."""
    async with asyncio.timeout(call.house.settings.service.deadline_seconds):
        return await call.look(lambda tx: problem_in(tx, ruling, question))


def problem_in(tx: Read, ruling: Ruling, question: Question) -> Problem:
    """As `problem`, inside a transaction."""
    decision, scope, identity = ruling.decision, question.request.scope, question.actor.identity
    told = view(ruling)
    if ruling.code is not None:
        return NotAuthenticated(decision.sentence, more={"code": ruling.code, "decision": told})
    if decision.reason is Reason.PROJECT_REQUIRED:
        return ProjectRequired(
            decision.sentence,
            remedy="`set project <name>` chooses one; `list projects` shows yours",
            more={"decision": told},
        )
    if not _is_known(question) and _is_hidden(tx, question):
        same = gate.no_project(scope or SYSTEM)
        more = {"decision": _hidden_view(scope or SYSTEM, ruling), "who_can_grant": []}
        return NotFound(same.detail, remedy=same.remedy, more=more)
    who: tuple[str, ...] = ()
    remedy = None
    if decision.role is not None and decision.reason in _MISSING:
        # Nobody gives to themselves.
        who = tuple(one for one in questions.who_can_give(tx, decision.role, scope or SYSTEM) if one != identity.name)
        where = f"in {place(scope or SYSTEM)}"
        names = " or ".join(f"`{name}`" for name in who[:3])
        remedy = (
            f"ask {names} for the role {decision.role} {where}"
            if who
            else f"you would need the role {decision.role} {where}"
        )
    more = {"decision": told, "who_can_grant": list(who), "scope": scope or SYSTEM}
    return Denied(decision.sentence, remedy=remedy, more=more)


_MISSING = frozenset({Reason.NO_ASSIGNMENT, Reason.EXPIRED, Reason.NOT_YET})


def _is_known(question: Question) -> bool:
    # The session's own project is no secret to whoever had a server started for it.
    return question.request.scope in (None, SYSTEM, question.actor.project)


def _is_hidden(tx: Read, question: Question) -> bool:
    return not gate.visible(tx, question.actor.identity, question.request.scope or SYSTEM)


def _hidden_view(scope: str, ruling: Ruling) -> dict[str, Any]:
    # Word for word the same whether the project exists or not.
    sentence = gate.no_project(scope).detail
    unknown = {"reason": str(Reason.UNKNOWN_PROJECT), "sentence": sentence, "assignment": None, "role": None}
    return {**view(ruling), **unknown}


def view(ruling: Ruling) -> dict[str, Any]:
    """Return a ruling as the API shows it."""
    decision = ruling.decision
    return {
        "id": ruling.id,
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "sentence": decision.sentence,
        "revision": ruling.revision,
        "assignment": decision.assignment,
        "role": decision.role,
        "at": _moment(ruling.at),
    }


@lru_cache(maxsize=64)  # those of one batch show one time
def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def refused_row(row: AuditRow, ruling: Ruling, route: str, problem: Problem) -> AuditRow:
    """Return what is recorded of a request that was refused with this problem, from the row of its ruling."""
    details = {**row.details, "route": route}
    if not ruling.decision.allowed:
        return replace(row, details=details)
    # The base right was there, a finer rule said no: the row must not read as an allow.
    reason = reason_of(problem)
    said = replace(row, allowed=False, reason=reason.value, sentence=problem.detail, details=details)
    return replace(said, assignment=None, role=None, via=())


def reason_of(problem: Problem) -> Reason:
    """Return the class of reason under which a refusal is recorded."""
    return _REASONS.get(problem.slug, Reason.CONFLICT)


_REASONS = {
    "denied": Reason.NO_ASSIGNMENT,
    "not-found": Reason.UNKNOWN_PROJECT,
    "escalation": Reason.ESCALATION,
    "limit-reached": Reason.LIMIT,
    "command-syntax": Reason.SYNTAX,
    "bad-input": Reason.SYNTAX,
    "project-required": Reason.PROJECT_REQUIRED,
}
