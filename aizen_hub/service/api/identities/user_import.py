"""The route that registers the people of a table, or says what would become of each."""

from __future__ import annotations

from aizen_hub.accounts.users.bulk_registration import (
    PlannedRow,
    RegistrationPlan,
    RowState,
    count_local_accounts,
    plan_registration,
)
from aizen_hub.commands.result import table_result
from aizen_hub.commands.users_table import read_users_table
from aizen_hub.operations.people_import import KIND, PeopleImport
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import result_response, wants_dry_run
from aizen_hub.service.api.schemas.operations import OperationView
from aizen_hub.service.api.schemas.users import MAX_TABLE, UserImport
from aizen_hub.service.http.headers import DRY_RUN
from aizen_hub.service.http.route import ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.operations import start_operation
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction


async def import_users(ctx: RequestContext) -> JsonResponse:
    """Start the operation that registers the new people of a table; show what it would do in a dry run."""
    body = ctx.body
    if wants_dry_run(ctx):
        response = await ctx.authorized_read(lambda tx: _show_plan(tx, _plan(tx, body)), pool=ctx.service.pools.queries)
        return JsonResponse(response.value, 200, {"Preference-Applied": DRY_RUN})
    plan = await ctx.authorized_read(lambda tx: _plan(tx, body), pool=ctx.service.pools.queries)
    if not plan.new and await ctx.stored_response() is None:
        raise BadInput("the table names no new person", faults=[Fault("/table", "no new person")])
    # A repeated request, whose people are registered by now, is answered with the stored response and starts nothing.
    request = PeopleImport(plan.new, body.mail_links, ctx.service.browser_login.hub_location.panel_url)
    return await start_operation(ctx, KIND, request, people=len(plan.new))


def _plan(tx: ActorTransaction, body: UserImport) -> RegistrationPlan:
    if body.mail_links and tx.settings.alerts.mail is None:
        detail = "no mail server is configured"
        raise BadInput(
            f"no links can be sent: {detail}",
            remedy="import without sending links, and give each person a link from `aizen-hub user activation-link`",
            faults=[Fault("/mail_links", detail)],
        )
    return plan_registration(tx, read_users_table(body.table))


def _show_plan(tx: ActorTransaction, plan: RegistrationPlan) -> JsonResponse:
    counts = {str(state): len(plan.rows_in(state)) for state in RowState}
    rows = [(planned.row.name, str(planned.state), _detail(planned)) for planned in plan.rows]
    message = f"{counts['new']} new, {counts['registered']} registered already, {counts['faulty']} with faults"
    local = count_local_accounts(tx, plan)
    return result_response(
        table_result(("id", "state", "detail"), rows, message, dry_run=True, local=local, **counts), tx
    )


def _detail(planned: PlannedRow) -> str:
    return f"line {planned.row.line}: {'; '.join(planned.faults)}" if planned.faults else ""


ROUTES = (
    Route(
        "POST",
        "/api/v1/user-imports",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("add_users"),
        import_users,
        "Start registering the new people of a table, batch by batch; each batch is committed separately, completely"
        " or not at all. With `Prefer: dry-run` the response is a table of what would become of each person.",
        body=UserImport,
        response=OperationView,
        status=202,
        idempotent=True,
        max_body=3 * MAX_TABLE,
    ),
)
