"""A person's sessions, requests and last events, as tabs of their page."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.api_models.schema import Name
from aizen_hub.audit.search import AuditFilter
from aizen_hub.audit.timeline import build_timeline, group_by_day
from aizen_hub.audit.timeline_search import TimelineQuery, read_timeline
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.people import person_head
from aizen_hub.service.panel.people.person import about_person
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_s = tables.sessions
_MAX_ENDED = 20
_MAX_ACTIVE = 200
_MAX_EVENTS = 40


class SessionEndForm(Form):
    """Which session ends; empty for all of the person."""

    session: Name | None = None


async def show_sessions(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = person_head.read_head(viewer, name)
        if not head["sees_sessions"]:
            raise not_in_panel()
        of_person = select(_s).where(_s.c.user == head["person"].name)
        active = of_person.where(_s.c.ended.is_(None)).order_by(_s.c.started.desc()).limit(_MAX_ACTIVE)
        ended = of_person.where(_s.c.ended.is_not(None)).order_by(_s.c.ended.desc()).limit(_MAX_ENDED)
        return {
            **head,
            "active": viewer.tx.conn.execute(active).all(),
            "ended": viewer.tx.conn.execute(ended).all(),
            "more_ended": _MAX_ENDED,
        }

    return await show_page(ctx, "people/sessions.html", read, audit_details=about_person(ctx, name))


async def end_sessions(ctx: RequestContext) -> RawResponse:
    name, session = ctx.path_params["name"], ctx.body.session

    def operation(tx: WriteTransaction) -> int:
        viewer = Viewer(tx)
        person = person_head.find_person(viewer, name)
        if Identity.user(person.name) != viewer.identity and not viewer.may("sessions"):
            raise not_in_panel()
        query = select(_s.c.id).where(_s.c.user == person.name, _s.c.ended.is_(None))
        ids = [row for row in tx.conn.execute(query).scalars() if session in (None, row)]
        for session_id in ids:
            server_sessions.end_session_by_id(tx, session_id, "ended in the panel")
        return len(ids)

    number = await authorized_value(ctx, operation)
    text = "One session has ended; its server stops in a moment." if number == 1 else f"{number} sessions have ended."
    return see_other(ctx, page_path("people", name, "sessions"), text)


async def show_requests(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = person_head.read_head(viewer, name)
        return {**head, "requests": person_head.visible_requests(viewer, head["identity"])}

    return await show_page(ctx, "people/requests.html", read, audit_details=about_person(ctx, name))


async def show_events(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = person_head.read_head(viewer, name)
        if not head["sees_events"]:
            raise not_in_panel()
        query = TimelineQuery(AuditFilter(projects=_audited_projects(viewer)), str(head["identity"]))
        page = read_timeline(viewer.tx.conn, query, limit=_MAX_EVENTS)
        days = group_by_day(build_timeline(page.records))
        return {**head, "days": days, "examined_until": page.examined_until}

    return await show_page(
        ctx,
        "people/events.html",
        read,
        event="audit.read",
        audit_details=lambda values: {"details": {"of": str(values["identity"])}},
        pool=ctx.service.pools.queries,
    )


def _audited_projects(viewer: Viewer) -> frozenset[str] | None:
    """Return the projects whose audit the viewer may read; None: everything."""
    if viewer.may("audit"):
        return None
    return frozenset(project for project in viewer.managed_projects if viewer.may("audit", project))


ROUTES = (
    page_route("/people/{name}/sessions", show_sessions, "A person's sessions."),
    form_route("/people/{name}/sessions/end", end_sessions, "End a person's sessions.", SessionEndForm),
    page_route("/people/{name}/requests", show_requests, "A person's requests for access."),
    page_route("/people/{name}/events", show_events, "The last events about a person."),
)
