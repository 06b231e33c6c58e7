"""Routes for the logins of a user, for managers of users."""

from __future__ import annotations

from aizen_hub.accounts.logins import linked_logins
from aizen_hub.service.api.change_response import authorized_result, id_param
from aizen_hub.service.api.schemas.linked_logins import NewLogin, UnlinkQuery
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext

MANAGE = Requirement.endpoint("users")


async def list_logins(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: linked_logins.list_logins(tx, ctx.path_params["user"]))


async def link_login(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx, lambda tx: linked_logins.link_login(tx, ctx.path_params["user"], body.provider, body.subject), 201
    )


async def unlink_login(ctx: RequestContext) -> JsonResponse:
    login_id = id_param(ctx, "login", "further login")
    return await authorized_result(
        ctx, lambda tx: linked_logins.unlink_login(tx, ctx.path_params["user"], login_id, last=ctx.query.last)
    )


_PATH = "/api/v1/users/{user}/logins"

ROUTES = (
    Route(
        "GET",
        _PATH,
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_logins,
        "List the logins of a user.",
        response=ResultView,
    ),
    Route(
        "POST",
        _PATH,
        ROLE_CHECKED_METHODS,
        MANAGE,
        link_login,
        "Link a further login to a user.",
        body=NewLogin,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "DELETE",
        _PATH + "/{login}",
        ROLE_CHECKED_METHODS,
        MANAGE,
        unlink_login,
        "Unlink a further login from a user.",
        query=UnlinkQuery,
        response=ResultView,
        idempotent=True,
    ),
)
