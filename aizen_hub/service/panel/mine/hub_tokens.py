"""The viewer's tokens at the hubs, of programs, the command line and servers: part of the page *My sessions*."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from aizen_hub.accounts import pending_changes
from aizen_hub.api_models.hub_tokens import HubToken, HubTokensResponse, TokenId
from aizen_hub.api_models.schema import Name
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.problems import Problem
from aizen_hub.service.auth.hub_connection import HubConnection
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token for display, and the hub that it is of; the times are None where the hub has none."""

    id: str
    hub: str
    note: str
    client: str
    created: datetime | None
    last_used: datetime | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class OwnTokens:
    """The tokens that the hubs list.

    Attributes
    ----------
    tokens : tuple of OwnToken
    more : tuple of str
        The hubs that have older ones.
    silent : tuple of str
        The hubs that do not answer in time.
    """

    tokens: tuple[OwnToken, ...]
    more: tuple[str, ...]
    silent: tuple[str, ...]


class HubTokenForm(Form):
    token: TokenId
    hub: Name = MAIN_HUB


async def read_own_tokens(ctx: RequestContext) -> OwnTokens | None:
    """Return the viewer's tokens; None where no hub lists them, or none in time."""
    hubs = [hub for hub in ctx.service.hubs if hub.api.is_configured]
    listed = await asyncio.gather(*(_list_tokens(hub, ctx.identity.name) for hub in hubs))
    answers = [(hub.id, answer) for hub, answer in zip(hubs, listed, strict=True) if answer is not None]
    if not answers:
        return None
    return OwnTokens(
        tuple(_to_own_token(hub, token) for hub, answer in answers for token in answer.tokens),
        tuple(hub for hub, answer in answers if answer.more),
        tuple(hub.id for hub, answer in zip(hubs, listed, strict=True) if answer is None),
    )


async def _list_tokens(hub: HubConnection, user: str) -> HubTokensResponse | None:
    try:
        return await hub.api.list_tokens(user, hub.secret)
    except Problem:  # the rest of the page does not depend on it
        return None


def _to_own_token(hub: str, token: HubToken) -> OwnToken:
    times = (
        None if time is None else datetime.fromisoformat(time)
        for time in (token.created, token.last_used, token.expires)
    )
    return OwnToken(token.id, hub, token.note, token.client, *times)


async def end_token(ctx: RequestContext) -> RawResponse:
    """Have a hub delete one token of the viewer, after a recent sign-in; others are not the viewer's to name."""
    token = ctx.body.token
    hub = next((hub for hub in ctx.service.hubs if hub.id == ctx.body.hub), None)
    if hub is None:
        raise not_in_panel()
    details = {"token": token} if hub.id == MAIN_HUB else {"token": token, "hub": hub.id}

    def record(tx: WriteTransaction) -> None:
        pending_changes.require_recent_login(tx)
        tx.audit("hub-token.end", details=details)

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
