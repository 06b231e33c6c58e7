"""Page of one pending change: who would gain and lose what; confirmed after a fresh sign-in, or rejected."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aizen_hub.accounts import command_handlers, pending_changes
from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.api_models.schema import Note
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.role import Role
from aizen_hub.service.http.form import EmptyForm, Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

REQUESTS = "requests"


class RejectionForm(Form):
    comment: Note = ""


async def show_change(ctx: RequestContext) -> RawResponse:
    change_id = ctx.path_params["change"]

    def read(viewer: Viewer) -> tuple[Any, datetime]:
        rows = viewer.pending_changes(change_id).rows
        if not rows:
            raise pending_changes.pending_not_found()
        return rows[0], viewer.tx.now

    row, now = await ctx.authorized_read(lambda tx: read(Viewer(tx)))
    # A dry run as if the user had just signed in: its effect is shown before the user signs in again to confirm.
    actor = replace(ctx.actor, recent_login_until=now + timedelta(minutes=1))
    service, effect, denial = ctx.service, None, None
    try:
        effect = await service.pools.queries.run(
            lambda: dry_run(service.store, actor, lambda tx: command_handlers.confirm_pending_change(tx, change_id))
        )
    except Problem as problem:
        denial = problem

    def read_roles(viewer: Viewer) -> dict[str, Any]:
        return {"dangers": [] if effect is None else _dangers(effect, viewer.tx.roles)}

    return await show_page(ctx, "decisions/change.html", read_roles, change=row, effect=effect, denial=denial)


def _dangers(effect: Result, roles: Any) -> list[tuple[str, str, str]]:
    """Return who would gain a role that is granted only with confirmation: identity, role and scope."""
    return [
        (identity, role, scope)
        for identity, scope, gains, _ in effect.rows
        for role in gains
        if isinstance(known := roles.get(role), Role) and (known.requires_confirmation or known.protected)
    ]


async def confirm_change(ctx: RequestContext) -> RawResponse:
    change_id = ctx.path_params["change"]
    result: Result = await authorized_value(ctx, lambda tx: command_handlers.confirm_pending_change(tx, change_id))
    # Rendered without a redirect, since it may contain links or a credential that are shown only once.
    return await show_page(ctx, "decisions/confirmed.html", **shown_once(result))


def shown_once(result: Result) -> dict[str, Any]:
    """Return what the page shows of a confirmed change, whatever its result contains: it cannot be repeated."""
    return {
        "message": result.message or "the change was made",
        "credential": result.data.get("credential"),
        "links": result.data.get("activations", ()),
    }


async def reject_change(ctx: RequestContext) -> RawResponse:
    change_id, comment = ctx.path_params["change"], ctx.body.comment
    await authorized_value(ctx, lambda tx: pending_changes.reject_change(tx, change_id, comment))
    return see_other(ctx, REQUESTS, "The change was rejected.")


ROUTES = (
    page_route("/changes/{change}", show_change, "One pending change."),
    form_route("/changes/{change}/confirm", confirm_change, "Confirm a pending change, from its page.", EmptyForm),
    form_route("/changes/{change}/reject", reject_change, "Reject a pending change, from its page.", RejectionForm),
)
