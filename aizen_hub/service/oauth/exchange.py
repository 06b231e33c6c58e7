"""``POST /oauth/token``: exchange of a server's hub token or a role token for a new role token (RFC 8693)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aizen_hub.accounts.sessions.token_exchange import (
    IssuedToken,
    find_credential_holder,
    unknown_credential_error,
)
from aizen_hub.problems import BadInput, Denied, Escalation, NotAuthenticated, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.authenticator import kernel_actor
from aizen_hub.service.auth.principal import Principal
from aizen_hub.service.http.route import AuthMethod, JsonResponse
from aizen_hub.service.oauth.schemas import ExchangeForm
from aizen_hub.service.oauth.token_parameter import verify_role_token
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.tokens.opaque_token import hash_credential

TOKEN_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, not a secret
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, not a secret
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


async def exchange_token(ctx: RequestContext) -> JsonResponse:
    form: ExchangeForm = ctx.body
    _check_form(form, ctx.service.settings.service_url)
    metrics = ctx.service.metrics
    try:
        issued = await _exchange_for_form(form)(ctx, form)
    except (NotAuthenticated, Denied, Escalation, NotFound, BadInput):
        metrics.count_exchange("refused")
        raise
    metrics.count_exchange("granted")
    return JsonResponse(_token_response(issued), headers={"Pragma": "no-cache"})


async def _renew(ctx: RequestContext, form: ExchangeForm) -> IssuedToken:
    service, exchange, source = ctx.service, ctx.service.exchange, ctx.principal.source
    # Each token is a durable write, and all writes share one queue. Sessions therefore have a budget, and a session
    # that has used it up is refused before the store is queried (R125, T-37).
    await service.rate_limiter.require_token_budget(hash_credential(form.subject_token))
    own_token = None if form.actor_token is None else await verify_role_token(ctx, form.actor_token)
    async with service.authenticator.failed_auth_throttle.guard(form.subject_token, source):
        holder = await ctx.unauthorized_read(lambda tx: find_credential_holder(tx, form.subject_token))
        if holder is None:
            record = exchange.record_unknown_credential(own_token, source)
            if record is not None:
                await service.pools.writes.run(record)
            raise unknown_credential_error()
    actor = Actor(
        Identity.user(holder.user), Channel.KERNEL, session=holder.session_id, project=holder.project, source=source
    )
    await service.authenticator.require_pod(ctx.headers, actor)
    async with service.rate_limiter.issuing_token(holder.credential_hash):
        return await service.pools.writes.run(
            lambda: exchange.renew(holder, project=form.project, scope=form.scope, role_token=own_token, source=source)
        )


def _exchange_for_form(form: ExchangeForm) -> Callable[[RequestContext, ExchangeForm], Awaitable[IssuedToken]]:
    if form.subject_token_type != JWT_TYPE:
        return _renew
    return _downscope if form.actor_token is None else _impersonate


async def _impersonate(ctx: RequestContext, form: ExchangeForm) -> IssuedToken:
    # Delegation (RFC 8693, 1.1): the subject token is the user's, the actor token is the service account's.
    service, exchange, source = ctx.service, ctx.service.exchange, ctx.principal.source
    actor = await service.authenticator.authenticate_service_account(form.actor_token or "", source)
    with service.rate_limiter.admit(Principal(AuthMethod.SERVICE_ACCOUNT, source, actor)):
        subject = await verify_role_token(ctx, form.subject_token)
        async with service.rate_limiter.issuing_token(f"acting {subject.session_id}"):
            return await service.pools.writes.run(
                lambda: exchange.impersonate(actor, subject, scope=form.scope, project=form.project)
            )


async def _downscope(ctx: RequestContext, form: ExchangeForm) -> IssuedToken:
    service, exchange, source = ctx.service, ctx.service.exchange, ctx.principal.source
    subject = await verify_role_token(ctx, form.subject_token)
    await service.authenticator.require_pod(ctx.headers, kernel_actor(subject, source))
    async with service.rate_limiter.issuing_token(subject.session_id):
        return await service.pools.writes.run(
            lambda: exchange.downscope(subject, scope=form.scope, project=form.project, source=source)
        )


def _token_response(issued: IssuedToken) -> dict[str, Any]:
    response: dict[str, Any] = {
        "access_token": issued.token,
        "issued_token_type": JWT_TYPE,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "project": issued.project,
        "session": issued.session_id,
    }
    if issued.scope is not None:
        response["scope"] = " ".join(issued.scope)
    return response


def _check_form(form: ExchangeForm, issuer: str) -> None:
    def fail(error: str, detail: str) -> BadInput:
        return BadInput(detail, extensions={"oauth": error})

    if form.grant_type != TOKEN_EXCHANGE_GRANT:
        raise fail("unsupported_grant_type", f"the only supported grant type is `{TOKEN_EXCHANGE_GRANT}`")
    if form.subject_token_type not in (ACCESS_TOKEN_TYPE, JWT_TYPE):
        raise fail("invalid_request", f"the subject token type is `{ACCESS_TOKEN_TYPE}` or `{JWT_TYPE}`")
    if form.requested_token_type not in (None, ACCESS_TOKEN_TYPE, JWT_TYPE):
        raise fail("invalid_request", "only role tokens are issued")
    if form.audience not in (None, issuer) or form.resource not in (None, issuer):
        raise fail("invalid_target", "role tokens are valid for this service only")
    if (form.actor_token is None) != (form.actor_token_type is None):
        raise fail("invalid_request", "`actor_token` and `actor_token_type` must be given together")
    if form.subject_token_type == JWT_TYPE and form.actor_token_type not in (None, ACCESS_TOKEN_TYPE):
        raise fail(
            "invalid_request", f"only a service account acts for a user: the actor token type is `{ACCESS_TOKEN_TYPE}`"
        )
    if form.subject_token_type == ACCESS_TOKEN_TYPE and form.actor_token_type not in (None, JWT_TYPE):
        raise fail("invalid_request", "with a server's hub token, the actor token is the session's own role token")
