"""Route that revokes the role tokens issued so far: of a user, of a project, or all."""

from __future__ import annotations

from aizen_hub.accounts.sessions import token_revocation
from aizen_hub.accounts.sessions.token_revocation import RevocationTarget
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import authorized_result
from aizen_hub.service.api.schemas.access import TokenRevocation
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext


async def revoke_tokens(ctx: RequestContext) -> JsonResponse:
    body: TokenRevocation = ctx.body
    target = RevocationTarget(body.target)
    if (body.name is None) != (target is RevocationTarget.ALL):
        detail = "give a name for `user` and `project`, and none for `all`"
        raise BadInput(detail, faults=(Fault("/name", detail),))
    return await authorized_result(
        ctx, lambda tx: token_revocation.revoke_tokens(tx, target, body.name or "", reason=body.reason)
    )


ROUTES = (
    Route(
        "POST",
        "/api/v1/tokens/revoke",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        revoke_tokens,
        "Revoke the role tokens issued so far: your own; with the permission to lock, of others, of a project, or all.",
        body=TokenRevocation,
        response=ResultView,
        idempotent=True,
    ),
)
