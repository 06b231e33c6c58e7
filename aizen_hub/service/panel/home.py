"""Page *My access*: the user's roles and limits in each project, and access requests."""

from __future__ import annotations

from typing import Any, Literal

from aizen_hub.accounts.roles import access_requests, limits, request_checks
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.form import Form, LastDay
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import ANY_REGISTERED, RawResponse, Route
from aizen_hub.service.panel.rendering import IN_BROWSER, authorized_value, form_route, render, see_other
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_MAX_ROLES = 1000
_MAX_REQUESTS = 50
_MESSAGES = {
    "requested": "Your request was sent to those who can approve it.",
    "withdrawn": "Your request was withdrawn.",
}


class HomeQuery(Schema):
    done: Literal["requested", "withdrawn"] | None = None


class AccessRequestForm(Form):
    scope: str = SYSTEM
    role: Name
    reason: Note = ""
    until: LastDay = None


class WithdrawalForm(Form):
    request: Name


async def show_home(ctx: RequestContext) -> RawResponse:
    identity = ctx.identity

    def operation(tx: ReadTransaction) -> dict[str, Any]:
        own_requests = access_requests.list_own_requests(tx, identity, _MAX_REQUESTS)
        held_roles = [role for role in tx.rights(identity).held_roles if role.is_effective(tx.now)][:_MAX_ROLES]
        scopes = sorted({role.scope for role in held_roles}, key=lambda scope: (scope != SYSTEM, scope))
        return {
            "scopes": [
                {
                    "name": scope,
                    "roles": [(held, tx.roles[held.role].description) for held in held_roles if held.scope == scope],
                    "limits": [
                        (kind.value, limit) for kind, limit in sorted(limits.limits_of(tx, identity, scope).items())
                    ],
                }
                for scope in scopes
            ],
            "requests": own_requests.rows,
            "more_requests": own_requests.data["more"],
            "role_groups": request_checks.requestable_roles(tx, identity),
            "projects": [row.name for row in checks.visible_projects(tx, identity)],
        }

    data = await ctx.authorized_read(operation)
    return render(ctx, "home.html", notice=_MESSAGES.get(ctx.query.done), **data)


async def create_request(ctx: RequestContext) -> RawResponse:
    body = ctx.body
    scope = body.scope.strip() or SYSTEM
    if not scope.isprintable() or len(scope) > 255:
        raise BadInput("this is not the name of a project")

    def operation(tx: WriteTransaction) -> Result:
        return access_requests.request_access(tx, body.role, scope, reason=body.reason, until=body.until)

    await authorized_value(ctx, operation)
    return see_other(ctx, "?done=requested")


async def withdraw_request(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: access_requests.withdraw_request(tx, ctx.body.request))
    return see_other(ctx, "?done=withdrawn")


ROUTES = (
    Route(
        "GET",
        "/",
        IN_BROWSER,
        ANY_REGISTERED,
        show_home,
        "My access.",
        query=HomeQuery,
        media_type=HTML,
        browser_page=True,
    ),
    form_route("/request", create_request, "Request a role, from the page.", AccessRequestForm),
    form_route("/withdraw", withdraw_request, "Withdraw a request, from the page.", WithdrawalForm),
)
