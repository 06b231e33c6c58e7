"""The viewer's tokens at the hub, of programs, the command line and servers: part of the page *My sessions*."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aizen_hub.accounts import pending_changes
from aizen_hub.api_models.hub_tokens import HubToken, TokenId
from aizen_hub.problems import Problem
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token for display; the times are None where the hub has none."""

    id: str
    note: str
    client: str
    created: datetime | None
    last_used: datetime | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class OwnTokens:
    """The tokens that the hub lists; ``more``: it has others."""

    tokens: tuple[OwnToken, ...]
    more: bool


class HubTokenForm(Form):
    token: TokenId


async def read_own_tokens(ctx: RequestContext) -> OwnTokens | None:
    """Return the viewer's tokens; None where no hub lists them, or not in time."""
    hub = ctx.service.main_hub
    if not hub.api.is_configured:
        return None
    try:
        listed = await hub.api.list_tokens(ctx.identity.name, hub.secret)
    except Problem:  # the rest of the page does not depend on it
        return None
    return OwnTokens(tuple(map(_to_own_token, listed.tokens)), listed.more)


def _to_own_token(token: HubToken) -> OwnToken:
    times = (
        None if time is None else datetime.fromisoformat(time)
        for time in (token.created, token.last_used, token.expires)
    )
    return OwnToken(token.id, token.note, token.client, *times)


async def end_token(ctx: RequestContext) -> RawResponse:
    """Have the hub delete one token of the viewer, after a recent sign-in; others are not the viewer's to name."""
    hub, token = ctx.service.main_hub, ctx.body.token

    def record(tx: WriteTransaction) -> None:
        pending_changes.require_recent_login(tx)
        tx.audit("hub-token.end", details={"token": token})

    await authorized_value(ctx, record)
    text = "The hub does not answer now, so the token was not ended. Try again in a minute."
    if hub.api.is_configured:
        try:
            ended = await hub.api.revoke_token(ctx.identity.name, token, hub.secret)
        except Problem:
            return see_other(ctx, "me/sessions", text)
        text = "The token has ended." if ended else "That token had ended already."
    return see_other(ctx, "me/sessions", text)


ROUTES = (form_route("/me/hub-tokens/end", end_token, "End one's own token at the hub.", HubTokenForm),)
