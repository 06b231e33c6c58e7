"""Routes for policy files: export the current state, plan a change, apply it."""

from __future__ import annotations

from typing import Any

from aizen_hub.commands.lexer import ascii_excerpt
from aizen_hub.commands.result import Result
from aizen_hub.policy.apply import apply_policy
from aizen_hub.policy.export import export_policy
from aizen_hub.policy.loader import MAX_BYTES, MAX_MEMBERS, Policy, PolicyError, read_policy
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import authorized_result, result_response
from aizen_hub.service.api.schemas.policy import PolicyDocument
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction


async def export_current_policy(ctx: RequestContext) -> JsonResponse:
    return await ctx.authorized_read(
        lambda tx: result_response(Result("object", data={"policy": export_policy(tx, ctx.actor)}), tx),
        audit_details=lambda _: {"details": {"query": "policy"}},
        pool=ctx.service.pools.queries,
    )


async def apply_policy_file(ctx: RequestContext) -> JsonResponse:
    # Parsed outside the write transaction, and only after the request was authorized.
    policy = await ctx.authorized_read(lambda tx: _parse_policy(ctx.body.policy, tx))
    return await authorized_result(ctx, lambda tx: apply_policy(tx, policy, prune=ctx.body.prune))


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
        "Apply a policy file, completely or not at all; each step is authorized like its own command.",
        body=PolicyDocument,
        response=ResultView,
        idempotent=True,
        max_body=MAX_BYTES,
        max_members=MAX_MEMBERS,
    ),
)
