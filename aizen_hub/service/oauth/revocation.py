"""``POST /oauth/revoke``: end the role tokens that a session has so far (RFC 7009)."""

from __future__ import annotations

from aizen_hub.authorization.decisions.token_status import ended_because
from aizen_hub.authorization.decisions.token_status import revoke as end_tokens
from aizen_hub.problems import BadInput, NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import Answer
from aizen_hub.service.oauth.schemas import TokenForm
from aizen_hub.service.oauth.token_parameter import role_token
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.actor import Actor, Road


async def revoke(call: Call) -> Answer:
    """Answer 200 for every token that is not one of ours any more, so that nothing is learnt from it (R52)."""
    form: TokenForm = call.body
    house = call.house
    try:
        token = await role_token(call, form.token)
    except NotAuthenticated:
        return Answer({})
    if token.scope is not None or token.actor is not None:
        # Such a token is handed on to others, who must not end the session's own (R52).
        raise BadInput(
            "a narrowed or acting token is not revoked, it ends within minutes",
            remedy="revoke the session's own role token",
            more={"oauth": "unsupported_token_type"},
        )
    actor = Actor(
        Identity.user(token.subject), Road.KERNEL, session=token.session, project=token.project,
        token_id=token.token_id, source=call.caller.source,
    )  # fmt: skip
    # By the token and not by its session: whoever keeps a dead one must not use up what its session may ask (R52).
    async with house.limits.minting(token.token_id):
        if await call.look(lambda tx: ended_because(tx, house.keys.ring(tx), token)) is None:
            await call.alone(actor, lambda tx: end_tokens(tx, house.keys.ring(tx), token))
    return Answer({})
