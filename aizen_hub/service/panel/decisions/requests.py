"""Page *Requests*: what waits for the viewer's decision, and one request with what helps to decide it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aizen_hub.accounts.roles import access_requests, bulk_grants, request_details
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.commands.result import Result
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import describe_scope
from aizen_hub.rbac.role import project_of
from aizen_hub.service.http.form import EmptyForm, Form, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import offer_restoration
from aizen_hub.service.panel.fields.until import NO_END, UntilFields, parse_until, presets
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

_MAX_ROWS = 200
_LEAST_COMMENT = 5


class ApprovalForm(Form, UntilFields):
    """The decision to approve, for the same or for less."""

    give: Typed = ""
    note: Typed = ""


class DenialForm(Form):
    comment: Typed = ""


class _Approval(Schema):
    note: Note = ""
    give: Name


class _Denial(Schema):
    comment: Note


async def list_requests(ctx: RequestContext) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        changes = viewer.pending_changes(limit=_MAX_ROWS)
        requests = access_requests.list_decidable_requests(viewer.tx, _MAX_ROWS)
        decided = access_requests.list_decided_requests(viewer.tx)
        return {
            "changes": changes.rows,
            "more_changes": changes.data["more"],
            "requests": requests.rows,
            "more_requests": requests.data["more"],
            "decided": [(row, request_details.outcome_of(row.state, row.comment)) for row in decided],
            "may_see_audit": viewer.may("audit") or any(viewer.may("audit", name) for name in viewer.managed_projects),
        }

    return await show_page(ctx, "decisions/requests.html", read)


async def show_request(ctx: RequestContext) -> RawResponse:
    return await _show(ctx)


async def _show(ctx: RequestContext, errors: FormErrors = NO_ERRORS, form: Form | None = None) -> RawResponse:
    request_id = ctx.path_params["request"]

    def read(viewer: Viewer) -> dict[str, Any]:
        row = access_requests.get_visible_request(viewer.tx, request_id)
        details = request_details.describe_request(viewer.tx, row)
        is_waiting = row.state == "waiting" and row.expires > viewer.tx.now
        state = "waiting" if is_waiting else "expired" if row.state == "waiting" else row.state
        return {
            "request": row,
            "details": details,
            "is_waiting": is_waiting,
            "is_own": details.requester == viewer.identity,
            "outcome": request_details.outcome_of(state, row.comment),
            "presets": presets(viewer.tx.now, details.until),
            "asked_until": NO_END if details.until is None else "longest",
            "typed": form,
        }

    def audit_details(values: Any) -> dict[str, Any] | None:
        if values["is_own"]:
            return None
        details: request_details.RequestDetails = values["details"]
        recorded = {"query": "request", "target": str(details.requester)}
        return {"project": project_of(details.scope), "details": recorded}

    return await show_page(
        ctx,
        "decisions/request.html",
        read,
        audit_details=audit_details,
        pool=ctx.service.pools.queries,
        errors=errors,
        status=422 if errors else 200,
    )


async def approve_request(ctx: RequestContext) -> RawResponse:
    request_id, body = ctx.path_params["request"], ctx.body

    async def change() -> RawResponse:
        approval = read_form(_Approval, body)

        def operation(tx: WriteTransaction) -> tuple[Result, str, str | None]:
            row = access_requests.get_visible_request(tx, request_id)
            asked = row.payload.get("until")
            longest = None if asked is None else datetime.fromisoformat(asked)
            ends = parse_until(body.until, body.until_date, tx.now, longest, moment=body.until_moment)
            scope = row.payload["scope"]
            before = bulk_grants.former_assignment(tx, approval.give, scope, Identity.parse(row.requested_by))
            result = access_requests.approve_request(
                tx, request_id, comment=approval.note, until=ends, role=approval.give
            )
            requester = Identity.parse(row.requested_by)
            label = f"gave {requester.name} {approval.give} in {describe_scope(scope).replace('`', '')}"
            if result.pending_id or not result.data.get("granted"):
                return result, label, None
            return result, label, offer_restoration(tx, label, [before])

        result, label, undo_id = await authorized_value(ctx, operation)
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, "requests", Toast(f"Approved: you {label}.", undo_id))

    return await show_errors(
        change(), lambda errors: _show(ctx, errors, body), ctx.service.catalog.command_with_handler
    )


async def deny_request(ctx: RequestContext) -> RawResponse:
    request_id, body = ctx.path_params["request"], ctx.body

    async def change() -> RawResponse:
        denial = read_form(_Denial, body)
        if len(denial.comment.strip()) < _LEAST_COMMENT:
            raise FieldError("comment", "say why in a sentence; it is shown to the person who asked")
        await authorized_value(
            ctx, lambda tx: access_requests.deny_request(tx, request_id, comment=denial.comment.strip())
        )
        return see_other(ctx, "requests", "The request was denied.")

    return await show_errors(
        change(), lambda errors: _show(ctx, errors, body), ctx.service.catalog.command_with_handler
    )


async def withdraw_request(ctx: RequestContext) -> RawResponse:
    request_id = ctx.path_params["request"]
    await authorized_value(ctx, lambda tx: access_requests.withdraw_request(tx, request_id))
    return see_other(ctx, "me", "The request was withdrawn.")


ROUTES = (
    page_route("/requests", list_requests, "Access requests and pending changes."),
    page_route("/requests/{request}", show_request, "One access request."),
    form_route("/requests/{request}/approve", approve_request, "Approve a request, from its page.", ApprovalForm),
    form_route("/requests/{request}/deny", deny_request, "Deny a request, from its page.", DenialForm),
    form_route("/requests/{request}/withdraw", withdraw_request, "Withdraw an own request.", EmptyForm),
)
