"""Tab *Requests* of a project: what waits for the viewer, and what was decided."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import access_requests
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.projects.project_head import read_head, require_readable
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables

_MAX_DECIDED = 50
_p = tables.pending_changes


async def show_requests(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, project = viewer.tx, require_readable(viewer, name)
        waiting = access_requests.list_decidable_requests(tx)
        decided = tx.conn.execute(
            select(_p)
            .where(
                _p.c.kind == pending_changes.ACCESS_REQUEST,
                _p.c.state != "waiting",
                _p.c.payload["scope"].as_string() == name,
            )
            .order_by(_p.c.decided.desc(), _p.c.id)
            .limit(_MAX_DECIDED + 1)
        ).all()
        return {
            **read_head(viewer, project, "requests"),
            "pending_requests": [row for row in waiting.rows if row[3] == name],
            "incomplete": waiting.data["more"],
            "decided": decided[:_MAX_DECIDED],
            "more_decided": len(decided) > _MAX_DECIDED,
        }

    return await show_page(ctx, "projects/requests.html", read)


ROUTES = (page_route("/projects/{project}/requests", show_requests, "Requests for roles in a project."),)
