"""Page *Why*: may an identity run a command, what decides it, and what would allow it; at an address to share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import access_requests, bulk_grants, grant_preview
from aizen_hub.accounts.roles.lookup import get_role
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.explanations.access_answer import (
    AccessAnswer,
    AccessQuestion,
    answer_question,
    parse_action,
    scope_of_action,
)
from aizen_hub.authorization.explanations.ways_to_allow import ONE_TIME, WayKind
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState
from aizen_hub.catalogs.catalog import CommandEntry, CommandScope, JobEffect
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, Escalation, NotFound
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.decision import Reason
from aizen_hub.rbac.engine import effective_limits
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.messages import describe_scope
from aizen_hub.rbac.role import SYSTEM, LimitKind, project_of
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import offer_restoration
from aizen_hub.service.panel.decisions.grant_question import apply_grant_rules, read_grant
from aizen_hub.service.panel.fields.until import UntilFields, presets
from aizen_hub.service.panel.form_errors import CORRECTABLE, NO_ERRORS, FieldError, FormErrors
from aizen_hub.service.panel.formatting import format_identity, page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction
from aizen_hub.wording import Interface

_MAX_OFFERED_PROJECTS = 50
_PROJECTS = (LockTarget.PROJECT, LockTarget.ARCHIVE)
_TIME = "%Y-%m-%dT%H:%M"
_j, _p = tables.jobs, tables.pending_changes


class WhyQuery(Schema):
    """The question, as the address of the page has it."""

    who: OptionalText = None
    do: OptionalText = None
    project: OptionalText = Field(default=None, alias="in")
    at: OptionalText = None
    suppose: OptionalText = None
    decision: OptionalText = None


class OneTimeForm(Form):
    """A role for a few hours, from the ways that the page offers."""

    who: Name
    role: Name
    scope: Name
    do: Name


class AskForm(Form, UntilFields):
    """A request for one of the roles that the page offers."""

    role: Name
    scope: Name
    do: Name
    reason: Note = ""


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decision that was made, from the audit."""

    id: str
    at: datetime
    allowed: bool
    sentence: str


async def show_why(ctx: RequestContext) -> RawResponse:
    query: WhyQuery = ctx.query
    try:
        return await _show(ctx, query, None)
    except CORRECTABLE as problem:
        problem.word_for(Interface.WEB, ctx.service.catalog.command_with_handler)
        return await _show(ctx, query, FormErrors.of_problem(problem))


async def _show(ctx: RequestContext, query: WhyQuery, errors: FormErrors | None) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        decided, asked = _decided(viewer, query) if errors is None else (None, query)
        values: dict[str, Any] = {
            "asked": asked,
            "decided": decided,
            "answer": None,
            "commands": _command_names(viewer.tx),
            "projects": _own_projects(viewer),
        }
        if asked.do is None or errors is not None:
            return values
        grant = read_grant(ctx.service.parsed_commands, asked.do, _parse_project(asked.project))
        answer = _answer(viewer, asked, is_whole_line=grant is not None)
        ruled = None if grant is None else apply_grant_rules(viewer.tx, answer, grant)
        answer = answer if ruled is None else ruled.answer
        return {**values, "answer": answer, **_details(viewer, answer), "ruled": ruled}

    def audit_details(values: Any) -> dict[str, Any] | None:
        answer: AccessAnswer | None = values["answer"]
        if answer is None or answer.question.identity == ctx.identity:
            return None
        details = {"query": "why", "target": str(answer.question.identity)}
        return {"project": project_of(answer.question.scope), "details": details}

    return await show_page(
        ctx,
        "decisions/why.html",
        read,
        fragment="answer",
        audit_details=audit_details,
        errors=errors or NO_ERRORS,
        status=200 if errors is None else 422,
    )


async def grant_once(ctx: RequestContext) -> RawResponse:
    """Give a role for a few hours, and show the answer again."""
    body: OneTimeForm = ctx.body
    identity = _parse_identity(body.who, ctx.identity)

    def operation(tx: WriteTransaction) -> Toast:
        interval = Interval(None, tx.now + ONE_TIME)
        role, reason = get_role(tx, body.role), f"to {body.do}"
        controlled = GrantAuthority.of_actor(tx).controlled
        if not grant_preview.may_grant(tx, role, body.scope) and identity not in controlled:
            # Before the identity is looked up: who exists is told to those who may give the role (R72).
            raise Escalation(f"you cannot give {role.name} in {describe_scope(body.scope)}")
        scope = project_of(body.scope)
        data = bulk_grants.grant_to_all(tx, role.name, scope, [identity], interval=interval, reason=reason).data
        if data["pending_ids"]:
            return Toast("It waits for confirmation by a second person.")
        undo_id = offer_restoration(tx, f"gave {identity.name} {role.name} for a few hours", data["former"])
        return Toast(f"{identity.name} has {role.name} for 4 hours.", undo_id)

    toast = await authorized_value(ctx, operation)
    project = project_of(body.scope)
    page = page_path("why", who=body.who, do=body.do, in_=project)
    return see_other(ctx, page, toast)


async def ask(ctx: RequestContext) -> RawResponse:
    """Request one of the roles that would allow it."""
    body: AskForm = ctx.body
    page = page_path("why", do=body.do, in_=project_of(body.scope))

    def operation(tx: WriteTransaction) -> Result:
        until = body.read_end(tx.now)
        return access_requests.request_access(tx, body.role, body.scope, reason=body.reason, until=until)

    result = await authorized_value(ctx, operation)
    return see_other(ctx, page, Toast(f"{result.message[:1].upper()}{result.message[1:]}.".replace("`", "")))


def _answer(viewer: Viewer, asked: WhyQuery, *, is_whole_line: bool) -> AccessAnswer:
    """Answer a question; what does not exist for the viewer is an error of the form."""
    question = _question(viewer, asked)
    if is_whole_line:
        question = replace(question, line=" ".join((asked.do or "").split()))
    try:
        return answer_question(viewer.tx, question)
    except NotFound as problem:
        name = "who" if str(question.identity.kind) in problem.detail else "in"
        raise FieldError(name, problem.detail.replace("`", "")) from None


def _question(viewer: Viewer, query: WhyQuery) -> AccessQuestion:
    identity = _parse_identity(query.who, viewer.identity)
    project = _parse_project(query.project)
    try:
        action = parse_action(viewer.tx.catalog, query.do or "")
        scope = scope_of_action(action, project)
    except CORRECTABLE as problem:
        name = "in" if "command of a project" in problem.detail else "do"
        raise FieldError(name, "; ".join(text for text in (problem.detail, problem.remedy) if text)) from None
    roles, groups = [], []
    for part in (query.suppose or "").split(","):
        kind, _, name = part.strip().partition(":")
        if kind == "role":
            roles.append((name, scope, identity))
        elif kind == "group":
            groups.append(name)
        elif part.strip():
            raise FieldError("suppose", "write `role:NAME` or `group:NAME`")
    return AccessQuestion(
        identity, action, scope, HypotheticalState(tuple(roles), tuple(groups), _parse_time(query.at))
    )


def _parse_identity(text: str | None, viewer: Identity) -> Identity:
    if text is None:
        return viewer
    kind_text, has_kind, name = text.partition(":")
    kind = IdentityKind(kind_text) if has_kind and kind_text in set(IdentityKind) else IdentityKind.USER
    canonical = normalization.canonical_or_none(name if has_kind else text, NameKind(kind.value))
    if canonical is None:
        raise FieldError("who", "this cannot be a name; write one such as `rita`, `group:crew` or `service-account:x`")
    return Identity(kind, canonical)


def _parse_project(text: str | None) -> str | None:
    if text in (None, SYSTEM):
        return None
    canonical = normalization.canonical_or_none(text, NameKind.PROJECT)
    if canonical is None:
        raise FieldError("in", "this cannot be the name of a project")
    return canonical


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text[:16], _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise FieldError("at", "write a time such as 2027-01-31T09:00, in UTC") from None


def _decided(viewer: Viewer, query: WhyQuery) -> tuple[_Decided | None, WhyQuery]:
    """Return a recorded decision, and the question that it answered; the reader may read the audit, or it is theirs."""
    if query.decision is None:
        return None, query
    records = search_newest(viewer.tx.conn, AuditFilter(id=query.decision), 1)
    record = records[0] if records else {}
    details = record.get("details") or {}
    is_own = record.get("identity") == str(viewer.identity)
    project = record.get("project")
    may_read = bool(record) and (is_own or viewer.may("audit", SYSTEM if project is None else project))
    action = record.get("command") or details.get("permission")
    if not may_read or record.get("allowed") is None:
        raise BadInput("there is no such decision for you", remedy="ask the question in the form")
    decided = _Decided(record["id"], _from_record(record), record["allowed"], str(record.get("sentence", "")))
    asked = {
        "who": str(record["identity"]).removeprefix("user:"),
        "do": action[:255] if isinstance(action, str) else None,
        "in": None if project is None else str(project),
        "decision": query.decision,
    }
    return decided, WhyQuery.model_validate({name: value for name, value in asked.items() if value is not None})


def _from_record(record: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(record["at"] / 1e6, UTC)


def _details(viewer: Viewer, answer: AccessAnswer) -> dict[str, Any]:
    question, tx = answer.question, viewer.tx
    is_own = question.identity == viewer.identity
    waiting = _waiting_requests(tx, question.identity, question.scope)
    return {
        "is_own": is_own,
        "shown_who": "you" if is_own else format_identity(question.identity),
        "who_text": str(question.identity).removeprefix("user:"),
        "askable": _askable(answer, waiting) if is_own else [],
        "presets": presets(tx.now),
        "pending_roles": waiting,
        "job_limit": _job_limit(tx, question),
        "may_see_audit": viewer.may("audit", question.scope),
        "hours": int(ONE_TIME.total_seconds() // 3600),
        "is_grant": isinstance(question.action, CommandEntry) and question.action.grants_roles,
        "is_locked": answer.lock is not None,
        "is_archived": answer.decision.reason is Reason.ARCHIVED,
        # Members see why their project is stopped; why a person is, those who may stop see.
        "sees_reason": answer.lock is None or answer.lock.target in _PROJECTS or is_own or viewer.may("locks"),
        "is_active": tx.rights(question.identity).active,
    }


def _askable(answer: AccessAnswer, waiting: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the roles that another user could give and that were not asked for yet, the least extra power first."""
    return [
        (way.role, f"{way.role} (adds {len(way.adds)} commands)")
        for way in answer.ways
        if way.kind is WayKind.ROLE and way.grantors and way.scope == answer.ways[0].scope and way.role not in waiting
    ]


def _waiting_requests(tx: ActorTransaction, identity: Identity, scope: str) -> dict[str, str]:
    """Return the ids of the waiting requests of an identity in a scope that the viewer may see, by role."""
    rows = tx.conn.execute(
        _p.select().where(
            _p.c.kind == "access-request",
            _p.c.state == "waiting",
            _p.c.requested_by == str(identity),
            _p.c.expires > tx.now,
        )
    )
    return {
        row.payload["role"]: row.id
        for row in rows
        if row.payload.get("scope") == scope and access_requests.is_visible_request(tx, row)
    }


def _job_limit(tx: ActorTransaction, question: AccessQuestion) -> tuple[int, float] | None:
    """Return how many jobs run and how many may, where the command starts one and a limit holds."""
    action = question.action
    if not isinstance(action, CommandEntry) or action.job is not JobEffect.STARTS:
        return None
    limit = effective_limits(tx.rights(question.identity), question.scope, tx.now).get(LimitKind.JOBS)
    if limit is None:
        return None
    running = _j.select().where(
        _j.c.user == question.identity.name, _j.c.project == question.scope, _j.c.ended.is_(None)
    )
    return len(tx.conn.execute(running).all()), limit.value


def _command_names(tx: ActorTransaction) -> list[str]:
    return [entry.name for entry in tx.catalog.commands.values() if entry.scope is not CommandScope.SELF]


def _own_projects(viewer: Viewer) -> list[str]:
    scopes = checks.member_scopes(viewer.tx, viewer.identity) - {SYSTEM}
    return sorted(scopes)[:_MAX_OFFERED_PROJECTS]


ROUTES = (
    page_route("/why", show_why, "Why a command is allowed or refused.", WhyQuery),
    form_route("/why/ask", ask, "Request a role, from the answer to why.", AskForm),
    form_route("/why/grant", grant_once, "Give a role for a few hours, from the answer to why.", OneTimeForm),
)
