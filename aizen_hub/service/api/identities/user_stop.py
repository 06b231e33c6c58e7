"""Route that stops a user now: a lock, and the end of sessions, hub tokens, browser sessions and servers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

from aizen_hub.accounts.names import name_release, normalization, reservation
from aizen_hub.accounts.sessions import lock_previews, locks
from aizen_hub.api_models.revocation import HUB_USER_EXISTS
from aizen_hub.commands.result import Result
from aizen_hub.problems import Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.change_response import result_response, wants_dry_run
from aizen_hub.service.api.schemas.access import UserStop
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.headers import DRY_RUN
from aizen_hub.service.http.route import ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.hub_revocations import with_hub_results
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


async def stop_user(ctx: RequestContext, name: str, reason: str, ends: datetime | None = None) -> tuple[Result, str]:
    """Lock a user and revoke at all hubs; returns the result of the lock, and a sentence about both."""
    user = normalization.canonical_or_none(name) or name

    def operation(tx: WriteTransaction) -> Result:
        result = locks.lock_target(tx, LockTarget.IDENTITY, f"user:{user}", reason=reason, ends=ends)
        return result.at_revision(tx.revision)

    result: Result = (await ctx.authorized_write(lambda tx, _: JsonResponse(operation(tx)))).value
    return result, with_hub_results(result, await ctx.service.hub_revocations.revoke_everywhere(user))


async def stop_user_now(ctx: RequestContext) -> JsonResponse:
    if wants_dry_run(ctx):
        user = normalization.canonical_or_none(ctx.path_params["user"]) or ctx.path_params["user"]
        preview = await ctx.authorized_write(
            lambda tx, _: result_response(lock_previews.list_what_ends(tx, Identity.user(user)), tx)
        )
        return replace(preview, headers={"Preference-Applied": DRY_RUN})
    result, sentence = await stop_user(ctx, ctx.path_params["user"], ctx.body.reason, ctx.body.ends)
    return JsonResponse({**result.to_json(), "message": sentence})


async def require_deleted_at_hub(ctx: RequestContext, name: str, *, delete: bool) -> None:
    """Refuse while a hub still has a user with the name of a deleted one (R31); revokes everything of theirs there.

    Parameters
    ----------
    delete : bool
        Each hub deletes its record of the user, instead of the refusal.

    Raises
    ------
    Conflict
        Also where the store still has something of that name: then no hub is asked, and deletes nothing.
    Unavailable
        A hub cannot be asked now.
    """
    user = normalization.canonical_or_none(name)
    hubs = [hub for hub in ctx.service.hubs if hub.api.is_configured]
    if user is None or not hubs:
        return

    def is_releasable(tx: ReadTransaction) -> bool:
        if not reservation.is_name_retired(tx, user, normalization.NameKind.USER):
            return False
        name_release.require_no_references(tx, normalization.NameKind.USER, user)
        return True

    if not await ctx.within_deadline(ctx.authorized_read(is_releasable)):
        return
    answers = await asyncio.gather(*(hub.api.revoke_user(user, hub.secret, delete=delete) for hub in hubs))
    having = [hub.id for hub, answer in zip(hubs, answers, strict=True) if answer is not None]
    if having and not delete:
        which = "the hub" if len(ctx.service.hubs) == 1 else f"the hub `{having[0]}`"
        raise Conflict(
            f"{which} still has a record of the user `{user}`; "
            "a new user of that name would get their servers and files",
            remedy=f"move or delete the files of `{user}`, then confirm that the record is deleted too: "
            f"`aizen-hub user release {user}` asks, and the API takes `delete_hub_user`",
            extensions={"reason": HUB_USER_EXISTS},
        )


ROUTES = (
    Route(
        "POST",
        "/api/v1/users/{user}/stop",
        ROLE_CHECKED_METHODS,
        Requirement.endpoint("locks"),
        stop_user_now,
        "Stop a user now: lock the account, and end all sessions, servers, hub tokens and browser sessions.",
        body=UserStop,
        response=ResultView,
        own_deadline=True,
    ),
)
