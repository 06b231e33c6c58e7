"""Routes for policy files: export the current state, plan a change, apply it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aizen_hub.commands.lexer import ascii_excerpt
from aizen_hub.commands.result import Result
from aizen_hub.policy.apply import APPLY, PLAN, PolicyRequest
from aizen_hub.policy.export import export_policy
from aizen_hub.policy.loader import MAX_BYTES, MAX_MEMBERS, Policy, PolicyError, read_policy
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import result_response, wants_dry_run
from aizen_hub.service.api.schemas.operations import OperationView
from aizen_hub.service.api.schemas.policy import PolicyDocument
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.headers import DRY_RUN
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.operations import start_operation
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction


async def export_current_policy(ctx: RequestContext) -> JsonResponse:
    return await ctx.authorized_read(
        lambda tx: result_response(Result("object", data={"policy": export_policy(tx, ctx.actor)}), tx),
        audit_details=lambda _: {"details": {"query": "policy"}},
        pool=ctx.service.pools.queries,
    )


async def apply_policy_file(ctx: RequestContext) -> JsonResponse:
    """Start the operation that applies a policy, or that plans it where the request prefers a dry run."""
    policy, prune = ctx.body.policy, ctx.body.prune
    # Read by the operation, outside the write transaction, and only after the request was authorized.
    request = PolicyRequest(lambda tx: _parse_policy(policy, tx), prune)
    if wants_dry_run(ctx):
        response = await start_operation(ctx, PLAN, request, prune=prune)
        return replace(response, headers={**response.headers, "Preference-Applied": DRY_RUN})
    return await start_operation(ctx, APPLY, request, prune=prune)


def _parse_policy(data: dict[str, Any], tx: ReadTransaction) -> Policy:
    try:
        return read_policy(data, tx.catalog)
    except PolicyError as error:
        lines = [ascii_excerpt(line, 400) for line in str(error).splitlines()]
        faults = [Fault("/policy", line) for line in lines[:_MAX_FAULTS]]
        raise BadInput(lines[0], faults=faults, extensions={"faults": len(lines)}) from None


_MAX_FAULTS = 50

ROUTES = (
    Route(
        "GET",
        "/api/v1/policy",
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("access"),
        export_current_policy,
        "Roles, groups, projects and assignments as a policy file.",
        response=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/policy",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        apply_policy_file,
        "Start applying a policy file, completely or not at all; each step is authorized like its own command. With"
        " `Prefer: dry-run` the operation only plans it.",
        body=PolicyDocument,
        response=OperationView,
        status=202,
        idempotent=True,
        max_body=MAX_BYTES,
        max_members=MAX_MEMBERS,
        parsed_in_thread=True,
    ),
)
