"""Page *Pending changes*: changes to confirm or reject, with the rights they would change, and access requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from aizen_hub.accounts import command_handlers, pending_changes
from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.roles import access_requests
from aizen_hub.accounts.service_accounts import second_person
from aizen_hub.api_models.schema import Note, Schema
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.form import Form, LastDay
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import ANY_REGISTERED, RawResponse, Route
from aizen_hub.service.panel.rendering import IN_BROWSER, authorized_value, form_route, render, see_other
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

_MESSAGES = {
    "rejected": "The change was rejected.",
    "approved": "The request was approved.",
    "denied": "The request was denied.",
}
_MAX_ROWS = 200


class PendingQuery(Schema):
    done: Literal["rejected", "approved", "denied"] | None = None


class DecisionForm(Form):
    comment: Note = ""


class RequestDecisionForm(DecisionForm):
    """The buttons *Approve* and *Deny* share a form; the last day counts for the first one."""

    until: LastDay = None


class EmptyForm(Form):
    """A form with a button and no fields."""


def _visible_changes(tx: WriteTransaction, change_id: str | None = None) -> Result:
    sees_all = checks.is_allowed(tx, checks.endpoint_permission(tx, "users"), SYSTEM)
    if sees_all:
        return pending_changes.list_pending(tx, change_id=change_id, limit=_MAX_ROWS)
    return pending_changes.list_pending(
        tx,
        requested_by=tx.actor.identity,
        and_these=second_person.find_confirmable(tx),
        change_id=change_id,
        limit=_MAX_ROWS,
    )


async def list_pending(ctx: RequestContext) -> RawResponse:
    def operation(tx: WriteTransaction) -> dict[str, Any]:
        checks.forbid_impersonation(tx)
        changes, requests = _visible_changes(tx), access_requests.list_decidable_requests(tx, _MAX_ROWS)
        return {
            "changes": changes.rows,
            "more_changes": changes.data["more"],
            "requests": requests.rows,
            "more_requests": requests.data["more"],
        }

    data = await authorized_value(ctx, operation)
    return render(ctx, "pending.html", notice=_MESSAGES.get(ctx.query.done), **data)


async def show_change(ctx: RequestContext) -> RawResponse:
    change_id = ctx.path_params["change"]

    def find(tx: WriteTransaction) -> Any:
        checks.forbid_impersonation(tx)
        rows = _visible_changes(tx, change_id).rows
        if not rows:
            raise pending_changes.pending_not_found()
        return rows[0], tx.now

    row, now = await authorized_value(ctx, find)
    # A dry run as if the user had just signed in: its effect is shown before the user signs in again to confirm.
    actor = replace(ctx.actor, recent_login_until=now + timedelta(minutes=1))
    service, effect, denial = ctx.service, None, None
    try:
        effect = await service.pools.writes.run(
            lambda: dry_run(service.store, actor, lambda tx: command_handlers.confirm_pending_change(tx, change_id))
        )
    except Problem as problem:
        denial = problem
    return render(ctx, "change.html", change=row, effect=effect, denial=denial)


async def confirm_change(ctx: RequestContext) -> RawResponse:
    change_id = ctx.path_params["change"]
    result: Result = await authorized_value(ctx, lambda tx: command_handlers.confirm_pending_change(tx, change_id))
    # Rendered without a redirect, since it may contain links or a credential that are shown only once.
    return render(ctx, "confirmed.html", **shown_once(result))


def shown_once(result: Result) -> dict[str, Any]:
    """Return what the page shows of a confirmed change, whatever its result contains: it cannot be repeated."""
    return {
        "message": result.message or "the change was made",
        "credential": result.data.get("credential"),
        "links": result.data.get("activations", ()),
    }


async def reject_change(ctx: RequestContext) -> RawResponse:
    change_id, comment = ctx.path_params["change"], ctx.body.comment
    await authorized_value(ctx, lambda tx: pending_changes.reject_change(tx, change_id, comment))
    return see_other(ctx, "pending?done=rejected")


async def approve_request(ctx: RequestContext) -> RawResponse:
    request_id, body = ctx.path_params["request"], ctx.body
    result: Result = await authorized_value(
        ctx,
        lambda tx: access_requests.approve_request(tx, request_id, comment=body.comment, until=body.until),
    )
    if result.pending_id:
        return see_other(ctx, f"pending/{result.pending_id}")
    return see_other(ctx, "pending?done=approved")


async def deny_request(ctx: RequestContext) -> RawResponse:
    request_id, comment = ctx.path_params["request"], ctx.body.comment
    await authorized_value(ctx, lambda tx: access_requests.deny_request(tx, request_id, comment=comment))
    return see_other(ctx, "pending?done=denied")


ROUTES = (
    Route(
        "GET",
        "/pending",
        IN_BROWSER,
        ANY_REGISTERED,
        list_pending,
        "Pending changes.",
        query=PendingQuery,
        media_type=HTML,
        browser_page=True,
    ),
    Route(
        "GET",
        "/pending/{change}",
        IN_BROWSER,
        ANY_REGISTERED,
        show_change,
        "One pending change.",
        media_type=HTML,
        browser_page=True,
    ),
    form_route("/pending/{change}/confirm", confirm_change, "Confirm a pending change, from its page.", EmptyForm),
    form_route("/pending/{change}/reject", reject_change, "Reject a pending change, from its page.", DecisionForm),
    form_route(
        "/pending/requests/{request}/approve", approve_request, "Approve a request, from the page.", RequestDecisionForm
    ),
    form_route("/pending/requests/{request}/deny", deny_request, "Deny a request, from the page.", RequestDecisionForm),
)
