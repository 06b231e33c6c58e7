"""Routes for access requests and pending changes."""

from __future__ import annotations

from datetime import datetime

from aizen_hub.accounts import command_handlers, pending_changes
from aizen_hub.accounts.roles import access_requests
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import authorized_result, result_response, wants_dry_run
from aizen_hub.service.api.schemas.access import Comment
from aizen_hub.service.api.schemas.groups import Approval, NewAccessRequest, RequestsQuery
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import (
    ANY_REGISTERED,
    ROLE_CHECKED_METHODS,
    AuthMethod,
    JsonResponse,
    Requirement,
    Route,
)
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.validation.duration import EXAMPLE, parse_duration

IN_PANEL = frozenset({AuthMethod.BROWSER})


async def list_requests(ctx: RequestContext) -> JsonResponse:
    if ctx.query.which == "mine":
        return await authorized_result(ctx, lambda tx: access_requests.list_own_requests(tx, ctx.identity))
    if ctx.query.which == "all":
        return await authorized_result(ctx, access_requests.list_requests)
    return await authorized_result(ctx, access_requests.list_decidable_requests)


async def create_request(ctx: RequestContext) -> JsonResponse:
    body = ctx.body

    def operation(tx: WriteTransaction) -> JsonResponse:
        tx.dry_run = wants_dry_run(ctx)  # refused
        ends = _end_of(body, tx.now)
        made = access_requests.request_access(tx, body.role, body.scope, reason=body.reason, until=ends)
        return result_response(made, tx, 201)

    return await ctx.authorized_write(lambda tx, _: operation(tx))


def _end_of(body: NewAccessRequest, now: datetime) -> datetime | None:
    if body.duration is None:
        return body.until
    duration = parse_duration(body.duration)
    if duration is None or body.until is not None:
        detail = "this is not a duration" if duration is None else "give either `until` or `duration`"
        raise BadInput(detail, remedy=EXAMPLE, faults=[Fault("/duration", detail)])
    return now + duration


async def approve_request(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: access_requests.approve_request(
            tx, ctx.path_params["request"], comment=body.comment, until=body.until
        ),
    )


async def deny_request(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: access_requests.deny_request(tx, ctx.path_params["request"], comment=ctx.body.comment)
    )


async def withdraw_request(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: access_requests.withdraw_request(tx, ctx.path_params["request"]))


async def list_pending(ctx: RequestContext) -> JsonResponse:
    def operation(tx: WriteTransaction) -> Result:
        checks.require(tx, checks.endpoint_permission(tx, "users"))
        return pending_changes.list_pending(tx)

    return await authorized_result(ctx, operation)


async def confirm_change(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: command_handlers.confirm_pending_change(tx, ctx.path_params["change"])
    )


async def reject_change(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: pending_changes.reject_change(tx, ctx.path_params["change"], ctx.body.comment)
    )


_REQUESTS, _PENDING = "/api/v1/requests", "/api/v1/pending"

ROUTES = (
    Route(
        "GET",
        _REQUESTS,
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_requests,
        "List your own access requests, those that you may decide, or both.",
        query=RequestsQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _REQUESTS,
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        create_request,
        "Request a role.",
        body=NewAccessRequest,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    # Who may approve depends on the requested role: the account function authorizes it as a grant.
    Route(
        "POST",
        _REQUESTS + "/{request}/approve",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        approve_request,
        "Approve a request: grant the role.",
        body=Approval,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        _REQUESTS + "/{request}/deny",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        deny_request,
        "Deny a request.",
        body=Comment,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        _REQUESTS + "/{request}/withdraw",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        withdraw_request,
        "Withdraw your own request.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        _PENDING,
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("users"),
        list_pending,
        "List the pending changes.",
        response=ResultView,
    ),
    Route(
        "POST",
        _PENDING + "/{change}/confirm",
        IN_PANEL,
        ANY_REGISTERED,
        confirm_change,
        "Confirm a pending change; needs a recent sign-in.",
        response=ResultView,
    ),
    Route(
        "POST",
        _PENDING + "/{change}/reject",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        reject_change,
        "Reject a pending change.",
        body=Comment,
        response=ResultView,
        idempotent=True,
    ),
)
