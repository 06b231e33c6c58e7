"""Page *Projects*: the projects that the viewer can see, with their members and admins where they may read these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Select, func, select

from aizen_hub.accounts.projects import listing
from aizen_hub.accounts.projects.listing import ProjectSort
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText, PageQuery, Sort, read_page
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction


class ProjectListQuery(PageQuery):
    q: OptionalText = None
    own: str | None = Field(default=None, max_length=3)
    state: Annotated[Literal["archived", "all"] | None, EMPTY_IS_NONE] = None


_p, _l = tables.projects, tables.locks
_ARCHIVED = select(_l.c.name).where(_l.c.target == LockTarget.ARCHIVE.value)
"""Archived projects: lists leave them out, unless they are asked for."""


async def list_projects(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, identity = viewer.tx, viewer.identity
        visible = listing.visible_query(tx, identity, query.q or "", only_own=bool(query.own))
        is_archived = _p.c.name.in_(_ARCHIVED)
        projects = {None: visible.where(~is_archived), "archived": visible.where(is_archived), "all": visible}[
            query.state
        ]
        sorts = [Sort(sort.value, listing.sort_columns(tx, sort)) for sort in ProjectSort]
        page = read_page(tx, projects, sorts, query)
        rows = listing.to_rows(tx, identity, page.rows)
        return {
            "page": page,
            "rows": rows,
            "readable": {row.name for row in rows if viewer.sees_project(row.name)},
            "query": query,
            "archived": frozenset(
                tx.conn.execute(_ARCHIVED.where(_l.c.name.in_([row.name for row in rows]))).scalars()
            ),
            "archived_count": _count(tx, visible.where(is_archived)) if query.state is None else 0,
            "may_create": viewer.may_run("create_project"),
        }

    return await show_page(ctx, "projects/projects.html", read, fragment="results")


def _count(tx: ReadTransaction, projects: Select[Any]) -> int:
    return tx.conn.execute(select(func.count()).select_from(projects.subquery())).scalar_one()


ROUTES = (page_route("/projects", list_projects, "Projects.", ProjectListQuery),)
