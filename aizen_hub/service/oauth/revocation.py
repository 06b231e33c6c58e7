"""``POST /oauth/revoke``: revocation of the role tokens that a session has so far (RFC 7009)."""

from __future__ import annotations

from aizen_hub.authorization.decisions.token_status import revoke_session_tokens, token_invalid_reason
from aizen_hub.problems import BadInput, NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import JsonResponse
from aizen_hub.service.oauth.schemas import TokenForm
from aizen_hub.service.oauth.token_parameter import verify_role_token
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.actor import Actor, Channel


async def revoke_token(ctx: RequestContext) -> JsonResponse:
    """Revoke a session's tokens; the response to an invalid token is the same, so that it reveals nothing (R52)."""
    form: TokenForm = ctx.body
    service = ctx.service
    try:
        token = await verify_role_token(ctx, form.token)
    except NotAuthenticated:
        return JsonResponse({})
    if token.scope is not None or token.actor is not None:
        # Such a token was given to another party, which must not revoke the session's own tokens (R52).
        raise BadInput(
            "a token with a narrower scope or an actor cannot be revoked; it expires within minutes",
            remedy="revoke the session's own role token",
            extensions={"oauth": "unsupported_token_type"},
        )
    actor = Actor(
        Identity.user(token.subject), Channel.KERNEL, session=token.session_id, project=token.project,
        token_id=token.token_id, source=ctx.principal.source,
    )  # fmt: skip
    # Budgeted by token, not by session: the holder of an expired token must not use up the session's budget (R52).
    async with service.rate_limiter.issuing_token(token.token_id):
        if await ctx.unauthorized_read(lambda tx: token_invalid_reason(tx, service.keys.ring(tx), token)) is None:
            await ctx.unauthorized_write(actor, lambda tx: revoke_session_tokens(tx, service.keys.ring(tx), token))
    return JsonResponse({})
