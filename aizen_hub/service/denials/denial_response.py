"""The response to a denial: in full for members of the project, for others as if the project did not exist (R72)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from aizen_hub.authorization import checks
from aizen_hub.authorization.activity import inactive_remedy
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.authorization.delegation import format_names
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.problems import Denied, NotAuthenticated, NotFound, Problem, ProjectRequired
from aizen_hub.rbac.decision import Reason
from aizen_hub.rbac.messages import describe_restorers, describe_scope
from aizen_hub.rbac.role import SYSTEM, is_assignable_in, project_of
from aizen_hub.service.denials.grant_denial import MISSING, grant_denial, requested_grant
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.transaction import ReadTransaction
from aizen_hub.wording import CHOOSE_PROJECT, request_role


def may_see_scope(request: DecisionRequest) -> bool:
    """Whether the scope is the requester's own, so that nothing has to be hidden and the store need not be read."""
    # The session's own project is no secret to the user whose server was started for it; without a session the project
    # is only what the request says.
    actor = request.actor
    return request.request.scope in (None, SYSTEM, None if actor.session is None else actor.project)


def visible_decision_in(tx: ReadTransaction, recorded: RecordedDecision, request: DecisionRequest) -> dict[str, Any]:
    """Return a denial as its requester may see it; `may_see_scope` tells where `decision_view` is enough.

    For a command that grants roles, `requested_grant` tells that it is not.
    """
    if not may_see_scope(request) and _is_hidden(tx, request):
        return _hidden_view(request.request.scope or SYSTEM, recorded)
    view, grant = decision_view(recorded), requested_grant(request)
    if grant is None or recorded.decision.reason not in MISSING:
        return view
    denied = grant_denial(tx, grant, request.actor.identity)
    return view if denied is None else {**view, "sentence": denied.detail, "role": None}


def denial_problem_in(tx: ReadTransaction, recorded: RecordedDecision, request: DecisionRequest) -> Problem:
    """Return the problem that a denial is answered with; the role that is missing, and who can grant it, are named."""
    decision, identity = recorded.decision, request.actor.identity
    scope = request.request.scope or SYSTEM
    view = decision_view(recorded)
    if recorded.code is not None:
        link = inactive_remedy(tx, identity) if decision.reason is Reason.NOT_ACTIVE else None
        return NotAuthenticated(decision.sentence, remedy=link, extensions={"code": recorded.code, "decision": view})
    if decision.reason is Reason.PROJECT_REQUIRED:
        return ProjectRequired(decision.sentence, remedy=CHOOSE_PROJECT, extensions={"decision": view})
    if not may_see_scope(request) and _is_hidden(tx, request):
        not_found = checks.project_not_found(scope)
        hidden = {"decision": _hidden_view(scope, recorded), "who_can_grant": []}
        return NotFound(not_found.detail, remedy=not_found.remedy, extensions=hidden)
    grant = requested_grant(request)
    if grant is not None and decision.reason in MISSING:
        denied = grant_denial(tx, grant, identity)
        if denied is not None:
            denied.extensions["decision"] = {**view, "sentence": denied.detail, "role": None}
            return denied
    grantors: tuple[str, ...] = ()
    remedy: str | None = None
    if decision.reason is Reason.ARCHIVED:
        remedy = f"ask {describe_restorers(tx.catalog.archive_rule.restorers)} to restore it"
    role = tx.roles.get(decision.role or "")
    if role is not None and decision.reason in MISSING:
        # A role that exists only in the system is held there, also where it is missing in a project.
        scope = scope if is_assignable_in(role, scope) else SYSTEM
        grantors = who_can_grant(tx, role.name, scope, recipient=identity, besides=(identity,))
        phrase = f"the role {role.name} in {describe_scope(scope)}"
        if grantors:
            asking = f"ask {format_names(grantors)} for {phrase}, or "
            remedy = request_role(role.name, project_of(scope)).after(asking)
        else:
            remedy = f"this needs {phrase}, which no other user can grant at present"
    permission = request.request.permission
    extensions = {
        "decision": view,
        "who_can_grant": list(grantors),
        "scope": scope,
        "permission": None if permission is None else str(permission),
    }
    return Denied(decision.sentence, remedy=remedy, extensions=extensions)


def _is_hidden(tx: ReadTransaction, request: DecisionRequest) -> bool:
    return not checks.can_see_project(tx, request.actor.identity, request.request.scope or SYSTEM)


def _hidden_view(scope: str, recorded: RecordedDecision) -> dict[str, Any]:
    # The same words whether the project exists or not.
    sentence = checks.project_not_found(scope).detail
    unknown = {"reason": str(Reason.UNKNOWN_PROJECT), "sentence": sentence, "assignment": None, "role": None}
    return {**decision_view(recorded), **unknown}


def decision_view(recorded: RecordedDecision) -> dict[str, Any]:
    """Return a decision as the API shows it."""
    decision = recorded.decision
    return {
        "id": recorded.id,
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "sentence": decision.sentence,
        "revision": recorded.revision,
        "assignment": decision.assignment_id,
        "role": decision.role,
        "at": _format_time(recorded.at),
    }


@lru_cache(maxsize=64)  # all decisions of one batch have one time
def _format_time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def denied_record(record: AuditRecord, recorded: RecordedDecision, route: str, problem: Problem) -> AuditRecord:
    """Return the audit record of a request that was refused with a problem, from the record of its decision."""
    details = {**record.details, "route": route}
    if not recorded.decision.allowed:
        return replace(record, details=details)
    # The required permission was there, a finer rule refused: the record must not read as an allow.
    reason = recorded_reason(problem)
    denied = replace(record, allowed=False, reason=reason.value, sentence=problem.detail, details=details)
    return replace(denied, assignment=None, role=None, via=())


def recorded_reason(problem: Problem) -> Reason:
    """Return the reason under which a refusal is recorded."""
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
