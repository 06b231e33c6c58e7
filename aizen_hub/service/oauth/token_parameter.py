"""Role tokens that come in a form, verified with the keys of now."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.problems import NotAuthenticated
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.tokens.role_token import RoleToken


async def role_token(call: Call, text: str) -> RoleToken:
    """Return the content of a good role token.

    The ring at hand may be a second old, and another replica may sign with a newer key already: a key that is unknown
    here is looked up before the token is refused. Otherwise its revocation would be acknowledged and do nothing (R48).

    Raises
    ------
    NotAuthenticated
    TooMany
        Too many refused credentials came from there.
    Unavailable
    """
    house, now = call.house, datetime.now(UTC)
    try:
        return house.verifier.verify(text, now)
    except NotAuthenticated as error:
        if error.more.get("code") != "unknown-key":
            raise
    async with house.roads.doubts.looking_at(text, call.caller.source):
        house.verifier.advance(await call.look(house.keys.ring))
        return house.verifier.verify(text, now)
