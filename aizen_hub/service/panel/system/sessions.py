"""Page *All sessions*: the running servers of every user, for those who manage sessions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.api_models.schema import Name
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.identity_rows import contains_text
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import OptionalText, PageQuery, Sort, read_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables

_s = tables.sessions
SORTS = (Sort("started", (_s.c.started, _s.c.id)), Sort("user", (_s.c.user, _s.c.id)))


class AllSessionsQuery(PageQuery):
    q: OptionalText = None
    project: OptionalText = None


class RunningSessionForm(Form):
    session: Name


async def show_all_sessions(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may("sessions"):
            raise not_in_panel()
        rows = select(_s).where(_s.c.ended.is_(None))
        if query.q:
            rows = rows.where(contains_text(viewer.tx, _s.c.user, query.q))
        if query.project:
            rows = rows.where(_s.c.project == query.project)
        newest_first = query.model_copy(update={"sort": query.sort or "-started"})
        return {"page": read_page(viewer.tx, rows, SORTS, newest_first), "query": query}

    return await show_page(
        ctx,
        "system/sessions.html",
        read,
        fragment="results",
        audit_details=lambda _: {"details": {"query": "sessions", "target": None}},
    )


async def end_session(ctx: RequestContext) -> RawResponse:
    session_id = ctx.body.session
    await authorized_value(ctx, lambda tx: server_sessions.end_session_by_id(tx, session_id, "ended in the panel"))
    return see_other(ctx, "system/sessions", "The session has ended; its server stops in a moment.")


ROUTES = (
    page_route("/system/sessions", show_all_sessions, "The sessions of all users.", AllSessionsQuery),
    form_route("/system/sessions/end", end_session, "End a session, from the page.", RunningSessionForm),
)
