"""``POST /oauth/introspect``: what a role token says and whether it still counts (RFC 7662)."""

from __future__ import annotations

from typing import Any

from aizen_hub.authorization.decisions.token_status import ended_because
from aizen_hub.problems import NotAuthenticated
from aizen_hub.service.http.route import Answer
from aizen_hub.service.oauth.schemas import TokenForm
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Read

INACTIVE = {"active": False}


async def introspect(call: Call) -> Answer:
    form: TokenForm = call.body
    house = call.house

    def work(tx: Read) -> dict[str, Any]:
        ring = house.keys.ring(tx)
        house.verifier.advance(ring)
        try:
            token = house.verifier.verify(form.token, tx.now)
        except NotAuthenticated:
            return INACTIVE
        # Whatever the cause, an outsider learns only that it does not count (RFC 7662, 2.2).
        if ended_because(tx, ring, token) is not None:
            return INACTIVE
        own = house.settings.service_url
        known = {
            "active": True,
            "token_type": "Bearer",
            "iss": own,
            "aud": own,
            "sub": token.subject,
            "sid": token.session,
            "project": token.project,
            "jti": token.token_id,
            "iat": int(token.issued_at.timestamp()),
            "nbf": int(token.not_before.timestamp()),
            "exp": int(token.expires_at.timestamp()),
            "scope": None if token.scope is None else " ".join(sorted(token.scope)),
            "act": None if token.actor is None else {"sub": token.actor},
        }
        return {name: value for name, value in known.items() if value is not None}

    return Answer(await call.read(work))
