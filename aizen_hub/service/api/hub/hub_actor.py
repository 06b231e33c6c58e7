"""The actor of what a hub reports or does for a user."""

from __future__ import annotations

from dataclasses import replace

from aizen_hub.rbac.identity import Identity
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.actor import Actor


def hub_actor(ctx: RequestContext, *, user: str | None = None, source: str | None = None) -> Actor:
    """Return the hub that sent a request, as its secret proves it, or the user for whom it acts.

    Parameters
    ----------
    user : str, optional
        By default the hub itself.
    source : str, optional
        The client address that the hub reports; by default its own.
    """
    actor = ctx.principal.actor
    assert actor is not None, "a route that needs the hub secret"
    identity = actor.identity if user is None else Identity.user(user)
    return replace(actor, identity=identity, source=source or actor.source)
