"""Routes by which the command line signs in and out."""

from __future__ import annotations

from aizen_hub.api_models.command_line import CodeExchange, CommandLineToken
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.command_line_login import CommandLineLogin
from aizen_hub.service.http.route import ANY_REGISTERED, CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction


async def redeem_code(ctx: RequestContext) -> JsonResponse:
    """Return the hub token of a code; only who has the verifier of its challenge can redeem it."""
    login = CommandLineLogin(ctx.service.browser_login, ctx.service.main_hub.api)
    token, user = await login.redeem(ctx.body.code, ctx.body.verifier)
    actor = Actor(Identity.user(user.name), Channel.CLI, source=ctx.principal.source)
    await ctx.unauthorized_write(actor, lambda tx: tx.audit("command-line.signed-in"))
    return JsonResponse({"token": token, "user": user.name})


async def sign_out(ctx: RequestContext) -> JsonResponse:
    """Have the hub delete the token of this request."""
    hub = ctx.service.main_hub
    token = ctx.headers["Authorization"].partition(" ")[2]
    await ctx.authorized_write(lambda tx, _: _record(tx))
    user = await hub.api.user_of_token(token)
    await hub.api.revoke_token(user.name, user.token_id, hub.secret)
    return JsonResponse(None, 204)


def _record(tx: WriteTransaction) -> JsonResponse:
    tx.audit("command-line.signed-out")
    return JsonResponse(None, 204)


ROUTES = (
    Route(
        "POST",
        "/api/v1/command-line/token",
        frozenset({AuthMethod.NONE}),
        CREDENTIAL_SUFFICES,
        redeem_code,
        "Redeem the code of a sign-in of the command line, with the verifier of its challenge (PKCE).",
        body=CodeExchange,
        response=CommandLineToken,
    ),
    Route(
        "POST",
        "/api/v1/command-line/sign-out",
        frozenset({AuthMethod.HUB_TOKEN}),
        ANY_REGISTERED,
        sign_out,
        "Sign the command line out: the hub deletes the token of this request.",
        status=204,
    ),
)
