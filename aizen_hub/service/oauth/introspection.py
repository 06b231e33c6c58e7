"""``POST /oauth/introspect``: claims and validity of a role token (RFC 7662)."""

from __future__ import annotations

from typing import Any

from aizen_hub.authorization.decisions.token_status import token_invalid_reason
from aizen_hub.problems import NotAuthenticated
from aizen_hub.service.http.route import JsonResponse
from aizen_hub.service.oauth.schemas import TokenForm
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction

INACTIVE = {"active": False}


async def introspect_token(ctx: RequestContext) -> JsonResponse:
    form: TokenForm = ctx.body
    service = ctx.service

    def operation(tx: ReadTransaction) -> dict[str, Any]:
        ring = service.keys.ring(tx)
        service.verifier.update_keys(ring)
        try:
            token = service.verifier.verify(form.token, tx.now)
        except NotAuthenticated:
            return INACTIVE
        # The response does not tell why a token is invalid (RFC 7662, 2.2).
        if token_invalid_reason(tx, ring, token) is not None:
            return INACTIVE
        issuer = service.settings.service_url
        claims = {
            "active": True,
            "token_type": "Bearer",
            "iss": issuer,
            "aud": issuer,
            "sub": token.subject,
            "sid": token.session_id,
            "project": token.project,
            "jti": token.token_id,
            "iat": int(token.issued_at.timestamp()),
            "nbf": int(token.not_before.timestamp()),
            "exp": int(token.expires_at.timestamp()),
            "scope": None if token.scope is None else " ".join(sorted(token.scope)),
            "act": None if token.actor is None else {"sub": token.actor},
        }
        return {name: value for name, value in claims.items() if value is not None}

    return JsonResponse(await ctx.authorized_read(operation))
