"""Verification of role tokens in form fields, with the current keys."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.problems import NotAuthenticated
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.tokens.role_token import RoleToken


async def verify_role_token(ctx: RequestContext, text: str) -> RoleToken:
    """Verify a role token and return its content.

    The cached keys may be a second old, and another replica may already sign with a newer one: an unknown key is looked
    up before the token is refused. Otherwise its revocation would be confirmed without any effect (R48).

    Raises
    ------
    NotAuthenticated
    TooManyRequests
        Too many invalid credentials came from this network.
    Unavailable
    """
    service, now = ctx.service, datetime.now(UTC)
    try:
        return service.verifier.verify(text, now)
    except NotAuthenticated as error:
        if error.extensions.get("code") != "unknown-key":
            raise
    async with service.authenticator.failed_auth_throttle.guard(text, ctx.principal.source):
        service.verifier.update_keys(await ctx.unauthorized_read(service.keys.ring))
        return service.verifier.verify(text, now)
