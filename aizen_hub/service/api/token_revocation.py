"""Role tokens of somebody, of a project or of everybody: end those that were issued so far."""

from __future__ import annotations

from aizen_hub.accounts.sessions import token_revocation as revocation
from aizen_hub.accounts.sessions.token_revocation import Whose
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import change
from aizen_hub.service.api.schemas.access import TokenRevocation
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Route
from aizen_hub.service.pipeline.request_context import Call


async def revoke(call: Call) -> Answer:
    body: TokenRevocation = call.body
    whose = Whose(body.target)
    if (body.name is None) != (whose is Whose.ALL):
        detail = "a user and a project have a name, and all have none"
        raise BadInput(detail, faults=(Fault("/name", detail),))
    return await change(call, lambda tx: revocation.revoke(tx, whose, body.name or "", reason=body.reason))


ROUTES = (
    Route(
        "POST",
        "/api/v1/tokens/revoke",
        PEOPLE,
        REGISTERED,
        revoke,
        "End the role tokens issued so far: one's own, or those of others, of a project or all with the right to lock.",
        body=TokenRevocation,
        answer=ResultView,
        keyed=True,
    ),
)
