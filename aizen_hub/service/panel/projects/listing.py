"""Page *Projects*: the projects that the viewer can see, with their members and admins where they may read these."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from aizen_hub.accounts.projects import listing
from aizen_hub.accounts.projects.listing import ProjectSort
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText, PageQuery, Sort, read_page
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext


class ProjectListQuery(PageQuery):
    q: OptionalText = None
    own: str | None = Field(default=None, max_length=3)


async def list_projects(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, identity = viewer.tx, viewer.identity
        projects = listing.visible_query(tx, identity, query.q or "", only_own=bool(query.own))
        sorts = [Sort(sort.value, listing.sort_columns(tx, sort)) for sort in ProjectSort]
        page = read_page(tx, projects, sorts, query)
        rows = listing.to_rows(tx, identity, page.rows)
        return {
            "page": page,
            "rows": rows,
            "readable": {row.name for row in rows if viewer.sees_project(row.name)},
            "query": query,
            "may_create": viewer.may_run("create_project"),
        }

    return await show_page(ctx, "projects/projects.html", read, fragment="results")


ROUTES = (page_route("/projects", list_projects, "Projects.", ProjectListQuery),)
