"""Page *Service accounts*: the accounts of programs, and making a new one."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.problems import Conflict
from aizen_hub.service.http.form import Form, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors, at_field, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.service_accounts import listing
from aizen_hub.service.panel.service_accounts.listing import ServiceAccountsQuery
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext


class NewAccountForm(Form):
    name: Typed = ""
    description: Typed = ""


class _Account(Schema):
    name: Name
    description: Note = ""


async def show_accounts(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        page, rows = listing.list_accounts(viewer, query)
        if not (rows or query.filters or viewer.is_manager or viewer.may("service-accounts")):
            raise not_in_panel()
        return {
            "page": page,
            "accounts": rows,
            "query": query,
            "active_filters": int(query.state is not None),
            "may_create": viewer.may("service-accounts"),
        }

    return await show_page(
        ctx,
        "service_accounts/accounts.html",
        read,
        fragment="results",
        audit_details=lambda _: {"details": {"query": "service-accounts"}},
    )


async def show_new_account(ctx: RequestContext) -> RawResponse:
    return await _show_new(ctx, None)


async def _show_new(ctx: RequestContext, form: NewAccountForm | None, errors: FormErrors = NO_ERRORS) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may("service-accounts"):
            raise not_in_panel()
        return {"form": form or NewAccountForm(xsrf="-")}

    return await show_page(ctx, "service_accounts/new.html", read, errors=errors, status=422 if errors else 200)


async def create_account(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        typed = read_form(_Account, body)
        try:
            result = await authorized_value(
                ctx, lambda tx: accounts.create_service_account(tx, typed.name, description=typed.description)
            )
        except Conflict as problem:
            raise at_field("name", problem, ctx.service.catalog.command_with_handler) from None
        name = result.data["account"]
        return see_other(ctx, page_path("service-accounts", name), f"The service account {name} is made.")

    return await show_errors(
        change(), lambda errors: _show_new(ctx, body, errors), ctx.service.catalog.command_with_handler
    )


ROUTES = (
    page_route("/service-accounts", show_accounts, "Service accounts.", ServiceAccountsQuery),
    page_route("/service-accounts/-/new", show_new_account, "Make a service account."),
    form_route("/service-accounts/-/new", create_account, "Make a service account.", NewAccountForm),
)
