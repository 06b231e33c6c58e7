"""OAuth callback: the page to which the hub redirects browsers after their sign-in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.accounts.credentials import sign_in_replay
from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import NotAuthenticated
from aizen_hub.service.auth.browser_login import sign_in_refused
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, RawResponse, Route
from aizen_hub.service.panel.rendering import HEADERS
from aizen_hub.service.pipeline.request_context import RequestContext


class CallbackQuery(Schema):
    """The authorization response (RFC 6749, 4.1.2)."""

    state: Annotated[str, Field(min_length=1, max_length=4000)]
    code: Annotated[str | None, Field(max_length=512)] = None
    error: Annotated[str | None, Field(max_length=200)] = None
    error_description: Annotated[str | None, Field(max_length=1000)] = None
    scope: Annotated[str | None, Field(max_length=2000)] = None


async def finish_login(ctx: RequestContext) -> RawResponse:
    """Sign in a browser that returns from the hub."""
    query = ctx.query
    if query.code is None:
        raise NotAuthenticated(
            "the hub did not sign you in", remedy="open the page again", extensions={"code": "sign-in"}
        )
    login, secure = ctx.service.browser_login, ctx.principal.secure
    flow = login.read_flow(ctx.headers, secure, query.state)
    next_url, cookies = await login.finish_login(flow, secure, query.code)
    # After the hub has accepted the code, so that only users who signed in there write rows (R127).
    is_new = await ctx.unauthorized_write(
        SERVICE_ACTOR, lambda tx: sign_in_replay.mark_sign_in_used(tx, flow.nonce, flow.expires)
    )
    if not is_new:
        raise sign_in_refused("this sign-in was completed already")
    return RawResponse(b"", HTML, {**HEADERS, "Location": next_url}, 302, cookies)


ROUTES = (
    Route(
        "GET",
        "/oauth_callback",
        frozenset({AuthMethod.NONE}),
        CREDENTIAL_SUFFICES,
        finish_login,
        "The redirect target of the hub's sign-in.",
        query=CallbackQuery,
        media_type=HTML,
        browser_page=True,
    ),
)
