"""Leaving a project: what the viewer would lose, and doing it."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts import dry_run
from aizen_hub.accounts.projects import leaving
from aizen_hub.authorization import checks
from aizen_hub.problems import Problem
from aizen_hub.service.http.form import EmptyForm
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext

__all__ = ["ROUTES"]


async def preview_leaving(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        if not checks.can_see_project(tx, viewer.identity, name):
            raise not_in_panel()
        kept = [held for held in tx.rights(viewer.identity).held_roles if held.scope == name and held.via]
        return {"project": name, "roles": leaving.own_assignments(tx, viewer.identity, name), "kept": kept}

    actor, store = ctx.actor, ctx.service.store
    obstacle = None
    try:
        await ctx.service.pools.queries.run(
            lambda: dry_run.try_change(store, actor, lambda tx: leaving.leave_project(tx, name))
        )
    except Problem as problem:
        obstacle = problem
    return await show_page(ctx, "mine/leave.html", read, obstacle=obstacle)


async def leave_project(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["project"]
    await authorized_value(ctx, lambda tx: leaving.leave_project(tx, name))
    return see_other(ctx, page_path("me"), f"You have left {name}.")


ROUTES = (
    page_route("/me/leave/{project}", preview_leaving, "What leaving a project takes away."),
    form_route("/me/leave/{project}", leave_project, "Leave a project.", EmptyForm),
)
