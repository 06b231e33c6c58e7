"""Routes of reviews of access, and of unused roles and dormant accounts."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.reviews import carrying_out, choices, lifecycle, rows, unused_access
from aizen_hub.accounts.reviews.choices import NewChoice
from aizen_hub.accounts.reviews.lifecycle import AccessReview
from aizen_hub.commands.result import Result, table_result, to_json_value, truncated_table
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.api.change_response import authorized_result, result_response
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.reviews import (
    NewReview,
    ReviewDecisions,
    ReviewRowsQuery,
    ReviewRule,
    ReviewsQuery,
    ReviewUndo,
    UnusedAccessQuery,
)
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

_MAX_ROWS = 1_000
_COLUMNS = ("id", "scope", "started by", "started", "deadline", "decided", "total", "finished")


def _review_row(review: AccessReview) -> tuple[Any, ...]:
    return (
        review.id,
        review.scope,
        review.started_by,
        review.started,
        review.deadline,
        review.decided,
        review.total,
        review.finished,
    )


def _review_result(review: AccessReview, text: str, **more: Any) -> Result:
    facts = {
        "review": review.id,
        "scope": review.scope,
        "deadline": review.deadline,
        "decided": review.decided,
        "total": review.total,
        "kept": review.kept,
        "shortened": review.shortened,
        "removed": review.removed,
        "finished": review.finished,
    }
    return Result("object", text, data={**to_json_value(facts), **more})


async def list_reviews(ctx: RequestContext) -> JsonResponse:
    scope = ctx.query.scope
    return await ctx.authorized_read(
        lambda tx: result_response(
            table_result(_COLUMNS, [_review_row(review) for review in lifecycle.list_reviews(tx, scope)]), tx
        )
    )


async def start_review(ctx: RequestContext) -> JsonResponse:
    body = ctx.body

    def operation(tx: WriteTransaction) -> Result:
        review = lifecycle.start_review(tx, body.scope, deadline=body.deadline, note=body.note)
        return _review_result(review, f"started the review {review.id[:8]}: {review.total} assignments to decide")

    return await authorized_result(ctx, operation, 201)


async def show_review(ctx: RequestContext) -> JsonResponse:
    query, review_id = ctx.query, ctx.path_params["review"]

    def operation(tx: ActorTransaction) -> tuple[AccessReview, JsonResponse]:
        review = lifecycle.get_review(tx, review_id)
        listed = rows.list_rows(tx, review, query.show, text=query.text, role=query.role, limit=_MAX_ROWS + 1)
        table = truncated_table(
            ("assignment", "identity", "role", "given by", "given", "last used", "uses", "until", "decision", "to"),
            [
                (
                    row.assignment_id,
                    row.identity,
                    row.role,
                    row.granted_by,
                    row.granted,
                    row.last_used,
                    row.uses,
                    row.ends,
                    None if row.choice is None else str(row.choice),
                    row.until,
                )
                for row in listed
            ],
            _MAX_ROWS,
        )
        table.data.update(_review_result(review, "").data)
        return review, result_response(table, tx)

    _, response = await ctx.authorized_read(
        operation,
        audit_details=lambda read: {"project": project_of(read[0].scope), "details": {"query": "review"}},
    )
    return response


async def decide(ctx: RequestContext) -> JsonResponse:
    review_id = ctx.path_params["review"]
    decisions = [NewChoice(item.assignment, item.choice, item.until) for item in ctx.body.decisions]

    def operation(tx: WriteTransaction) -> Result:
        review = choices.decide(tx, review_id, decisions)
        return _review_result(review, f"{review.decided} of {review.total} decided; nothing is changed yet")

    return await authorized_result(ctx, operation)


async def fill_in(ctx: RequestContext) -> JsonResponse:
    review_id, body = ctx.path_params["review"], ctx.body

    def operation(tx: WriteTransaction) -> Result:
        review, filled = choices.fill_in(tx, review_id, body.rule, until=body.until)
        return _review_result(review, f"{filled} decisions were filled in; nothing is changed yet", filled=filled)

    return await authorized_result(ctx, operation)


async def carry_out(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: carrying_out.carry_out(tx, ctx.path_params["review"]))


async def undo(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: carrying_out.undo(tx, ctx.path_params["review"], ctx.body.assignments)
    )


async def finish(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: _review_result(lifecycle.finish_review(tx, ctx.path_params["review"]), "the review is finished")
    )


async def list_unused(ctx: RequestContext) -> JsonResponse:
    scope = ctx.query.scope

    def operation(tx: ActorTransaction) -> JsonResponse:
        lifecycle.require_may_review(tx, scope)
        roles = unused_access.find_unused_roles(tx, None if scope == SYSTEM else [scope], limit=_MAX_ROWS + 1)
        listed: list[tuple[Any, ...]] = [
            ("role", role.identity, role.role, role.scope, role.granted, role.last_used) for role in roles
        ]
        if scope == SYSTEM:
            accounts = unused_access.find_dormant_accounts(tx, _MAX_ROWS)
            listed = [
                *(
                    ("account", account.identity, None, None, account.created, account.last_used)
                    for account in accounts
                ),
                *listed,
            ]
        columns = ("unused", "identity", "role", "scope", "since", "last used")
        return result_response(truncated_table(columns, listed, _MAX_ROWS), tx)

    return await ctx.authorized_read(
        operation,
        audit_details=lambda _: {"project": project_of(scope), "details": {"query": "unused-access"}},
        pool=ctx.service.pools.queries,
    )


_PATH = "/api/v1/reviews"

ROUTES = (
    Route(
        "GET",
        _PATH,
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("access", "scope"),
        list_reviews,
        "List the reviews of access of a project or of the system.",
        query=ReviewsQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH,
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("access", "scope"),
        start_review,
        "Start a review of access.",
        body=NewReview,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    # The scope of a review is known only to the store: the account functions check the right to read access in it.
    Route(
        "GET",
        _PATH + "/{review}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_review,
        "Show the assignments of a review, with their use and what was decided.",
        query=ReviewRowsQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH + "/{review}/decisions",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        decide,
        "Decide about assignments: keep, shorten or take away.",
        body=ReviewDecisions,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        _PATH + "/{review}/fill",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        fill_in,
        "Fill in decisions by a rule.",
        body=ReviewRule,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        _PATH + "/{review}/carry-out",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        carry_out,
        "Carry out the decisions of a review, all or none.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        _PATH + "/{review}/undo",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        undo,
        "Undo what a review changed.",
        body=ReviewUndo,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        _PATH + "/{review}/finish",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        finish,
        "Finish a review; what is not decided stays.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        "/api/v1/unused-access",
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("access", "scope"),
        list_unused,
        "List unused roles, and system-wide the dormant accounts too.",
        query=UnusedAccessQuery,
        response=ResultView,
    ),
)
