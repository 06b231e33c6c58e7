"""Routes for questions of the requesting user about commands: may I, and what may I do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from aizen_hub.accounts.command_handlers import execute_account_command
from aizen_hub.accounts.dry_run import try_change
from aizen_hub.api_models.command_questions import (
    AllowedCommands,
    AllowedCommandsQuery,
    CommandAnswer,
    CommandQuestion,
)
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.authorization.decisions.evaluation import boottime
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.command import Command
from aizen_hub.problems import CommandSyntaxError, Problem
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.denials.denial_response import denial_problem_in
from aizen_hub.service.denials.grant_denial import grant_of_command
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Route
from aizen_hub.service.pipeline.error_responses import INTERFACES
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction
from aizen_hub.wording import Interface

_NO_ARGUMENTS: Mapping[str, Any] = MappingProxyType({})


async def ask_about_command(ctx: RequestContext) -> JsonResponse:
    """Answer as the command would be decided; for one that grants roles, by the rules for granting them too."""
    body: CommandQuestion = ctx.body
    command, complete = _read_command(ctx, body.line)
    project = body.project or ctx.actor.project
    request = _decision_request(ctx, command, project, complete)

    def operation(tx: ActorTransaction) -> tuple[dict[str, Any], bool]:
        decision = ctx.service.decisions.evaluate_unrecorded(tx, request)
        problem = None
        if not decision.allowed:
            unrecorded = RecordedDecision("", decision, tx.revision, tx.now, boottime())
            problem = denial_problem_in(tx, unrecorded, _granting_in(request, project))
        entry, scope = command.entry, request.request.scope
        role = decision.role if problem is None else problem.extensions["decision"]["role"]
        answer = {
            "command": entry.name,
            "usage": entry.usage,
            "description": entry.description,
            "complete": complete,
            "allowed": decision.allowed,
            "sentence": decision.sentence if problem is None else problem.detail,
            "permission": None if entry.permission is None else str(entry.permission),
            "scope": scope,
            "role": role,
            **_ways_out(ctx, problem, role),
            "why": _page(ctx, "why", do=entry.name, **{"in": None if scope is None else project_of(scope)}),
        }
        return answer, decision.allowed and complete and entry.grants_roles

    answer, is_grant = await ctx.authorized_read(operation)
    if is_grant:
        refusal = await _refusal_of_grant(ctx, command, project)
        if refusal is not None:
            answer |= {"allowed": False, "sentence": refusal.detail, "role": None, **_ways_out(ctx, refusal, None)}
    return JsonResponse(answer)


async def list_allowed_commands(ctx: RequestContext) -> JsonResponse:
    query: AllowedCommandsQuery = ctx.query
    project = query.project or ctx.actor.project

    def operation(tx: ActorTransaction) -> dict[str, Any]:
        allowed = []
        for entry in tx.catalog.commands.values():
            request = _decision_request(ctx, Command(entry, _NO_ARGUMENTS, None), project, complete=False)
            decision = ctx.service.decisions.evaluate_unrecorded(tx, request)
            if decision.allowed:
                allowed.append(
                    {
                        "command": entry.name,
                        "verb": entry.verb,
                        "noun": entry.noun,
                        "task": entry.task,
                        "usage": entry.usage,
                        "description": entry.description,
                        "scope": request.request.scope,
                        "role": decision.role,
                    }
                )
        return {"project": project, "commands": allowed, "total": len(tx.catalog.commands)}

    return JsonResponse(await ctx.authorized_read(operation))


def _decision_request(ctx: RequestContext, command: Command, project: str | None, complete: bool) -> DecisionRequest:
    actor = ctx.actor
    request = build_authorization_request(command, project, actor.identity, actor.session)
    # What it would grant is known only of a whole line.
    return ctx.decision_request(request, command if complete else None)


def _granting_in(request: DecisionRequest, project: str | None) -> DecisionRequest:
    """Return the request with what its command would grant in a project, which may not be that of the session."""
    grant = None if request.command is None else grant_of_command(request.command, project)
    return request if grant is None else replace(request, command=None, grant=grant)


def _read_command(ctx: RequestContext, line: str) -> tuple[Command, bool]:
    """Return the command of a line, and whether the line is complete; else the command has no arguments."""
    try:
        return ctx.service.parsed_commands.parse(line), True
    except CommandSyntaxError:
        entry = _entry_of(ctx.service.catalog, line)
        if entry is None:
            raise
        return Command(entry, _NO_ARGUMENTS, None), False


def _entry_of(catalog: Catalog, line: str) -> Any:
    words = line.split()
    return next((entry for count in (2, 1) if (entry := catalog.find_command(" ".join(words[:count])))), None)


async def _refusal_of_grant(ctx: RequestContext, command: Command, project: str | None) -> Problem | None:
    """Try a grant or revocation in a project and take it back; return why it would be refused."""
    actor = replace(ctx.actor, project=project)

    def attempt(tx: WriteTransaction) -> Any:
        return execute_account_command(tx, command, {})

    def run() -> Problem | None:
        try:
            try_change(ctx.service.store, actor, attempt)
        except Problem as problem:
            if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise  # it could not be tried, which is no refusal
            return problem
        return None

    return await ctx.service.pools.writes.run(run)


def _ways_out(ctx: RequestContext, problem: Problem | None, role: str | None) -> dict[str, Any]:
    if problem is None:
        return {"who_can_grant": [], "remedy": None, "ask": None}
    interface = INTERFACES.get(ctx.actor.channel, Interface.COMMAND_LINE)
    problem.word_for(interface, ctx.service.catalog.command_with_handler)
    grantors = list(problem.extensions.get("who_can_grant", ()))
    scope = problem.extensions.get("scope", SYSTEM)
    ask = _page(ctx, "me/ask", role=role, project=project_of(scope)) if grantors and role else None
    return {"who_can_grant": grantors, "remedy": problem.remedy, "ask": ask}


def _page(ctx: RequestContext, path: str, **query: str | None) -> str:
    panel = ctx.service.browser_login.hub_location.panel_url or ctx.service.prefix
    return f"{panel}{path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


ROUTES = (
    Route(
        "POST",
        "/api/v1/access-queries/command",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        ask_about_command,
        "Ask whether a command would be allowed, as it would be decided now.",
        body=CommandQuestion,
        response=CommandAnswer,
    ),
    Route(
        "GET",
        "/api/v1/session/commands",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_allowed_commands,
        "List the commands that you may give now.",
        query=AllowedCommandsQuery,
        response=AllowedCommands,
    ),
)
