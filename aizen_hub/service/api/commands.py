"""Routes for commands and decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aizen_hub.accounts.command_handlers import execute_account_command
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.authorization.decisions.evaluation import RequestedGrant
from aizen_hub.catalogs.catalog import Executor
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.command import Command
from aizen_hub.commands.local_ends import with_local_ends
from aizen_hub.problems import (
    BadInput,
    CommandSyntaxError,
    Denied,
    Escalation,
    Fault,
    NotFound,
    Problem,
    ProjectRequired,
    TooLarge,
    UnknownCommand,
)
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.schemas.commands import (
    CommandResponse,
    CommandStateView,
    CommandText,
    DecisionRequestBody,
    DecisionResponse,
)
from aizen_hub.service.core.command_log import recorded_state
from aizen_hub.service.denials.denial_response import decision_view
from aizen_hub.service.denials.grant_denial import decide_grant, requested_grant
from aizen_hub.service.http.route import (
    ANY_REGISTERED,
    DECIDED_BY_COMMAND,
    ROLE_CHECKED_METHODS,
    JsonResponse,
    NdjsonResponse,
    Route,
)
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction, make_audit_record
from aizen_hub.wording import CHOOSE_PROJECT

_MAX_BODY = 2 << 20


async def execute_command(ctx: RequestContext) -> JsonResponse | NdjsonResponse:
    """Decide one command, and execute it here or at the core."""
    _use_body_project(ctx)
    command = await _parse(ctx, ctx.body.text, "/text")
    if ctx.body.day_ends:
        command = with_local_ends(command, ctx.body.day_ends, datetime.now(UTC))
    request = _decision_request(ctx, command)
    if command.entry.executor is Executor.ACCOUNTS:
        return await _execute_here(ctx, command, request)
    return await _execute_at_core(ctx, command, request)


async def create_decision(ctx: RequestContext) -> JsonResponse:
    """Decide without executing anything; recorded like every decision."""
    body = ctx.body
    if body.command is not None:
        request = _decision_request(ctx, await _parse(ctx, body.command, "/command"))
    else:
        try:
            permission = Permission.parse(body.permission)
        except ValueError as error:
            raise BadInput(str(error), faults=[Fault("/permission", "not `verb:noun`")]) from None
        scope = body.project or ctx.actor.project or SYSTEM
        request = ctx.decision_request(AuthorizationRequest(permission, scope, ctx.actor.session))
    grant = requested_grant(request)
    if grant is not None:
        return await _decide_grant(ctx, request, grant)
    recorded = await ctx.decide(request)
    if recorded.code is not None:
        raise await ctx.denial_problem(recorded, request)
    return JsonResponse({"decision": await ctx.visible_decision(recorded, request)})


async def _decide_grant(ctx: RequestContext, request: DecisionRequest, grant: RequestedGrant) -> JsonResponse:
    # The rules on each role are checked in the transaction of the decision, and recorded with it, as in a grant.
    def operation(tx: WriteTransaction, recorded: RecordedDecision) -> JsonResponse:
        decision = decide_grant(tx, recorded.decision, grant, tx.rights(tx.actor.identity), tx.actor.identity)
        if not decision.allowed:
            raise Escalation(decision.sentence)
        return JsonResponse({"decision": decision_view(recorded)})

    try:
        return await ctx.authorized_write(operation, request)
    except (Denied, Escalation, NotFound, ProjectRequired) as problem:
        return JsonResponse({"decision": problem.extensions["decision"]})


async def show_command(ctx: RequestContext) -> JsonResponse:
    """Return the state of a command of this identity."""
    state = await _command_state(ctx, ctx.path_params["id"])
    if state is None:
        raise NotFound("you have no such command")
    return JsonResponse(state)


async def _command_state(ctx: RequestContext, decision_id: str) -> Mapping[str, Any] | None:
    # None for another identity's command, as for one that does not exist.
    identity = ctx.identity
    user = identity.name if identity.kind is IdentityKind.USER else str(identity)
    running = ctx.service.core.runner.find(decision_id)
    if running is not None and running.command.user == user:
        await ctx.authorized_read(lambda tx: tx.revision)
        return running.to_json()
    return await ctx.authorized_read(lambda tx: recorded_state(tx, decision_id, identity))


async def _parse(ctx: RequestContext, text: str, pointer: str) -> Command:
    try:
        return ctx.service.parsed_commands.parse(text)
    except (CommandSyntaxError, UnknownCommand, TooLarge) as problem:
        # Refused before any permission was checked, but recorded all the same (R87).
        reason = Reason.UNKNOWN_COMMAND if isinstance(problem, UnknownCommand) else Reason.SYNTAX
        decision_id = await _unauthorized_record_unparsed(ctx, text, reason, problem)
        problem.faults = (*problem.faults, Fault(pointer, problem.detail))
        problem.extensions.setdefault(
            "decision", {"id": decision_id, "allowed": False, "reason": str(reason), "sentence": problem.detail}
        )
        raise


async def _unauthorized_record_unparsed(ctx: RequestContext, text: str, reason: Reason, problem: Problem) -> str:
    service, actor = ctx.service, ctx.actor

    def record() -> str:
        with service.store.read() as tx:
            now = tx.now
        # Only the first words: a secret can be anywhere in text that could not be parsed.
        row = make_audit_record(
            actor,
            "decision",
            now,
            decision=Decision(False, reason, problem.detail),
            command=" ".join(text.split()[:2])[:80],
            length=len(text),
        )
        service.store.append_audit([row])
        return row.id

    ctx.decision_id = await service.pools.writes.run(record)
    service.metrics.requests.count_decision(False, str(reason))
    return ctx.decision_id


def _decision_request(ctx: RequestContext, command: Command) -> DecisionRequest:
    actor = ctx.actor
    return ctx.decision_request(
        build_authorization_request(command, actor.project, actor.identity, actor.session), command
    )


def _use_body_project(ctx: RequestContext) -> None:
    project: str | None = ctx.body.project
    if project is None:
        return
    if ctx.actor.session is not None:
        raise BadInput(
            "a session has its own project, so `project` cannot be given",
            faults=[Fault("/project", "only without a session")],
            remedy=CHOOSE_PROJECT,
        )
    ctx.principal = replace(ctx.principal, actor=replace(ctx.actor, project=project))


async def _execute_here(ctx: RequestContext, command: Command, request: DecisionRequest) -> JsonResponse:
    files: Mapping[str, str] = ctx.body.files or {}

    def operation(tx: WriteTransaction, recorded: RecordedDecision) -> JsonResponse:
        result = execute_account_command(tx, command, files).at_revision(tx.revision)
        return JsonResponse(
            {
                "id": recorded.id,
                "canonical": command.canonical,
                "decision": decision_view(recorded),
                "result": result.to_json(),
            },
            202 if result.pending_id else 200,
        )

    return await ctx.authorized_write(operation, request)


async def _execute_at_core(
    ctx: RequestContext, command: Command, request: DecisionRequest
) -> JsonResponse | NdjsonResponse:
    earlier = await _replayed_state(ctx)
    recorded = await ctx.decide(request)
    if not recorded.decision.allowed:
        raise await ctx.denial_problem(recorded, request)
    if earlier is not None:
        return JsonResponse(earlier, headers={"Idempotency-Replayed": "true"})
    files: Mapping[str, str] = ctx.body.files or {}
    running = await ctx.service.core.start(ctx.actor, command, files, request, recorded, ctx.idempotency_key())
    first = {
        "event": "decision",
        "id": recorded.id,
        "canonical": command.canonical,
        "decision": decision_view(recorded),
    }

    async def events() -> AsyncIterator[Mapping[str, Any]]:
        yield first
        async for event in running.events():
            yield event

    return NdjsonResponse(events())


async def _replayed_state(ctx: RequestContext) -> Mapping[str, Any] | None:
    # The state of the command that an earlier request with the same idempotency key started.
    stored = await ctx.stored_response()
    if stored is None or not isinstance(stored.value, dict):
        return None
    decision_id = str(stored.value["id"])
    unknown = {"id": decision_id, "canonical": "", "state": "unknown", "result": None}
    return await _command_state(ctx, decision_id) or unknown


ROUTES = (
    Route(
        "POST",
        "/api/v1/decisions",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        create_decision,
        "Ask whether a command or a permission is allowed.",
        body=DecisionRequestBody,
        response=DecisionResponse,
        own_deadline=True,
    ),
    Route(
        "POST",
        "/api/v1/commands",
        ROLE_CHECKED_METHODS,
        DECIDED_BY_COMMAND,
        execute_command,
        "Execute one command.",
        body=CommandText,
        response=CommandResponse,
        streams=True,
        idempotent=True,
        max_body=_MAX_BODY,
    ),
    Route(
        "GET",
        "/api/v1/commands/{id}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_command,
        "Show the state of a command.",
        response=CommandStateView,
    ),
)
