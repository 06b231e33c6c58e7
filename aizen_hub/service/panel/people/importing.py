"""Importing people from a table: what would become of each row, the import, and its progress."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aizen_hub.accounts.users.bulk_registration import (
    RegistrationPlan,
    RowState,
    count_local_accounts,
    plan_registration,
)
from aizen_hub.commands.users_table import read_users_table
from aizen_hub.operations.people_import import KIND, PeopleImport
from aizen_hub.problems import BadInput
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.operations import start_operation
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, at_field, show_errors
from aizen_hub.service.panel.operation_page import OperationPage
from aizen_hub.service.panel.pages import form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction

_PAGE = OperationPage(
    kinds=(KIND,),
    folder=("people", "-", "import"),
    template="people/import_progress.html",
    on_cancel="The import ends after the people of the present batch.",
    about="an import",
)
MAX_TEXT = 1 << 20
MAX_SHOWN = 200
"""Rows of each kind that the preview lists; where there are more, it says so."""


class ImportForm(Form):
    table: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    delivery: Typed = ""


async def show_import(ctx: RequestContext) -> RawResponse:
    return await _show(ctx, "", "")


async def _show(ctx: RequestContext, table: str, delivery: str, errors: FormErrors = NO_ERRORS) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may_run("add_users"):
            raise not_in_panel()
        settings = viewer.tx.settings
        return {
            "table": table,
            "delivery": delivery,
            "mails": settings.alerts.mail is not None,
            "default_source": settings.registration_provider,
            "sources": [item.name for item in settings.providers],
            "system_roles": [name for name, role in viewer.tx.roles.items() if "system" in role.scopes],
        }

    return await show_page(ctx, "people/import.html", read, errors=errors, status=422 if errors else 200)


async def preview_import(ctx: RequestContext) -> RawResponse:
    """Show what becomes of each row; nothing is changed."""
    body = ctx.body

    def read(viewer: Viewer) -> dict[str, Any]:
        plan = _read_plan(viewer.tx, body.table)
        return {
            "plan": plan,
            "table": body.table,
            "delivery": body.delivery,
            "shown": MAX_SHOWN,
            "new": plan.rows_in(RowState.NEW),
            "registered": plan.rows_in(RowState.REGISTERED),
            "faulty": plan.rows_in(RowState.FAULTY),
            "local": count_local_accounts(viewer.tx, plan),
        }

    change = show_page(ctx, "people/import_preview.html", read, pool=ctx.service.pools.queries)
    return await show_errors(
        change,
        lambda errors: _show(ctx, body.table, body.delivery, errors),
        ctx.service.catalog.command_with_handler,
    )


def _read_plan(tx: ActorTransaction, text: str) -> RegistrationPlan:
    try:
        rows = read_users_table(text)
    except BadInput as problem:
        raise at_field("table", problem, tx.catalog.command_with_handler) from None
    return plan_registration(tx, rows)


async def start_import(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        plan = await ctx.authorized_read(lambda tx: _read_plan(tx, body.table), pool=ctx.service.pools.queries)
        if not plan.new:
            raise FieldError("table", "the file names no new person")
        request = PeopleImport(plan.new, body.delivery == "mail", ctx.service.browser_login.hub_location.panel_url)
        response = await start_operation(ctx, KIND, request, people=len(plan.new))
        return see_other(ctx, _PAGE.address_of(response.value["id"]))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, body.table, body.delivery, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/people/-/import", show_import, "Import people."),
    form_route(
        "/people/-/import/preview", preview_import, "What an import would do.", ImportForm, max_body=3 * MAX_TEXT
    ),
    form_route("/people/-/import", start_import, "Start an import of people.", ImportForm, max_body=3 * MAX_TEXT),
    *_PAGE.routes(),
)
