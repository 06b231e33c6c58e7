"""Routes for registered users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aizen_hub.accounts.credentials import mailed_links
from aizen_hub.accounts.credentials.passwords import NewPassword
from aizen_hub.accounts.users import profiles, registration, user_view
from aizen_hub.commands.result import Result
from aizen_hub.service.api.change_response import authorized_result, result_response, wants_dry_run
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.users import (
    LinkQuery,
    NewUser,
    NewUserResponse,
    ProjectQuery,
    UserChange,
    UsersQuery,
)
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

MANAGE = Requirement.endpoint("users")


async def list_users(ctx: RequestContext) -> JsonResponse:
    query = ctx.query
    return await authorized_result(
        ctx, lambda tx: profiles.list_users(tx, query.project or ctx.actor.project, query.search)
    )


async def show_user(ctx: RequestContext) -> JsonResponse:
    name, project = ctx.path_params["user"], ctx.query.project
    return await authorized_result(ctx, lambda tx: user_view.show_user(tx, name, project or ctx.actor.project))


async def create_user(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    password: str | NewPassword | None = body.password
    if password is not None and await ctx.would_be_allowed():
        # Hashed before the transaction, since hashing is slow by design. The transaction itself authorizes the request.
        password = await ctx.service.pools.passwords.run(lambda: NewPassword.from_text(body.password))

    def change(tx: WriteTransaction) -> Result:
        return registration.create_user(
            tx,
            body.name,
            provider=body.provider,
            display_name=body.display_name or "",
            email=body.email,
            phone=body.phone,
            alerts=None if body.alerts is None else body.alerts.model_dump(),
            roles=body.roles,
            password=password,
        )

    if wants_dry_run(ctx):
        preview = await authorized_result(ctx, change)
        return replace(preview, value={**preview.value, "user": body.name})

    def operation(tx: WriteTransaction, _: Any) -> JsonResponse:
        result = change(tx)
        response = result_response(result, tx).value
        return JsonResponse({**response, "user": result.data["user"], "activation": result.data.get("activation")}, 201)

    return await ctx.authorized_write(operation)


async def update_user(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: profiles.update_user(
            tx,
            ctx.path_params["user"],
            display_name=body.display_name,
            email=body.email,
            phone=body.phone,
            alerts=None if body.alerts is None else body.alerts.model_dump(exclude_none=True),
        ),
    )


async def delete_user(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: registration.delete_users(tx, [ctx.path_params["user"]]))


async def create_activation_link(ctx: RequestContext) -> JsonResponse:
    outgoing: list[mailed_links.MailedLink] = []
    name, by_mail = ctx.path_params["user"], ctx.query.delivery == "mail"
    response = await ctx.within_deadline(
        authorized_result(ctx, lambda tx: mailed_links.renew_link(tx, name, outgoing, by_mail=by_mail), 201)
    )
    if not wants_dry_run(ctx):
        await ctx.service.link_mailer.send(outgoing)
    return response


ROUTES = (
    Route(
        "GET",
        "/api/v1/users",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("list_users", "project"),
        list_users,
        "List the registered users.",
        query=UsersQuery,
        response=ResultView,
    ),
    Route(
        "GET",
        "/api/v1/users/{user}",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("list_users", "project"),
        show_user,
        "Show a registered user, with the roles that you may see.",
        query=ProjectQuery,
        response=ResultView,
    ),
    # Not idempotent: the response contains an activation link, and responses to idempotent requests are stored.
    Route(
        "POST",
        "/api/v1/users",
        ROLE_CHECKED_METHODS,
        MANAGE,
        create_user,
        "Register a user.",
        body=NewUser,
        response=NewUserResponse,
        status=201,
    ),
    Route(
        "PATCH",
        "/api/v1/users/{user}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        update_user,
        "Change contact data: your own, or that of others as a manager of users.",
        body=UserChange,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "DELETE",
        "/api/v1/users/{user}",
        ROLE_CHECKED_METHODS,
        Requirement.same_as_command("delete_users"),
        delete_user,
        "Delete a user.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        "/api/v1/users/{user}/activation",
        ROLE_CHECKED_METHODS,
        MANAGE,
        create_activation_link,
        "Create a new activation link, which invalidates the old one; it is sent by mail where you may not see it.",
        query=LinkQuery,
        response=ResultView,
        status=201,
        own_deadline=True,  # the mail server has one of its own
    ),
)
