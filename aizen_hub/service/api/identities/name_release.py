"""Routes that release the reserved names of what was deleted, for each kind of name (R31)."""

from __future__ import annotations

from aizen_hub.accounts.names import name_release
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.service.api.change_response import authorized_result, wants_dry_run
from aizen_hub.service.api.identities.user_stop import require_deleted_at_hub
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.users import UserNameRelease
from aizen_hub.service.http.route import ROLE_CHECKED_METHODS, Handler, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext

_PATHS = {
    NameKind.USER: ("users/{user}", "users"),
    NameKind.PROJECT: ("projects/{project}", "users"),
    NameKind.GROUP: ("groups/{group}", "groups"),
    NameKind.ROLE: ("roles/{role}", "roles"),
    NameKind.SERVICE_ACCOUNT: ("service-accounts/{account}", "service-accounts"),
}


def _release_handler(kind: NameKind) -> Handler:
    async def release(ctx: RequestContext) -> JsonResponse:
        (name,) = ctx.path_params.values()
        if kind is NameKind.USER and not wants_dry_run(ctx):
            await require_deleted_at_hub(ctx, name, delete=ctx.body.delete_hub_user)
        return await ctx.within_deadline(authorized_result(ctx, lambda tx: name_release.release_name(tx, kind, name)))

    return release


ROUTES = tuple(
    Route(
        "POST",
        f"/api/v1/{segment}/release",
        ROLE_CHECKED_METHODS,
        Requirement.endpoint(operation),
        _release_handler(kind),
        f"Release the name of a deleted {kind}.",
        body=UserNameRelease if kind is NameKind.USER else None,
        response=ResultView,
        idempotent=True,
        # The hub stops servers before it answers, within a deadline of its own.
        own_deadline=kind is NameKind.USER,
    )
    for kind, (segment, operation) in _PATHS.items()
)
