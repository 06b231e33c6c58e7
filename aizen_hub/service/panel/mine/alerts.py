"""Pages *Alerts of my projects*: of which jobs and changes the viewer is told, by project."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.projects import job_alerts
from aizen_hub.authorization import checks
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.form import Form, Ticked
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import PageQuery, Sort, read_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables

_p, _alerts = tables.projects, tables.project_alerts


class AlertsForm(Form):
    """The ticked kinds of events; none: no alerts of the project."""

    service: Ticked = ()


async def show_alerts(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        own = checks.member_scopes(tx, viewer.identity) - {SYSTEM}
        of_viewer = select(_p.c.id, _p.c.name, _p.c.description).where(_p.c.name.in_(sorted(own)))
        page = read_page(tx, of_viewer, [Sort("name", (_p.c.name, _p.c.id))], query)
        chosen = defaultdict(list)
        names = [row.name for row in page.rows]
        mine = select(_alerts).where(_alerts.c.user == viewer.identity.name, _alerts.c.project.in_(names))
        for row in tx.conn.execute(mine.order_by(_alerts.c.service)):
            chosen[row.project].append(row.service)
        return {"page": page, "chosen": chosen, **_channels(viewer)}

    return await show_page(ctx, "mine/alerts.html", read)


async def show_project_alerts(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        if not checks.can_see_project(viewer.tx, viewer.identity, name):
            raise not_in_panel()
        return {
            "project": name,
            "offered": job_alerts.offered_services(viewer.tx, name),
            "chosen": job_alerts.own_services(viewer.tx, name),
            **_channels(viewer),
        }

    return await show_page(ctx, "mine/project_alerts.html", read)


async def choose_alerts(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["project"]
    await authorized_value(ctx, lambda tx: job_alerts.choose_services(tx, name, ctx.body.service))
    return see_other(ctx, "account/alerts", f"Your alerts of {name} are saved.")


def _channels(viewer: Viewer) -> dict[str, Any]:
    """Return whether an alert can reach the viewer."""
    users = tables.users
    user = viewer.tx.conn.execute(select(users).where(users.c.name == viewer.identity.name)).one()
    settings = viewer.tx.settings.alerts
    ways = {"email": settings.mail is not None and user.email, "phone": settings.has_webhook and user.phone}
    return {"is_reachable": any(user.alerts.get(way) and possible for way, possible in ways.items())}


ROUTES = (
    page_route("/account/alerts", show_alerts, "Alerts of my projects.", PageQuery),
    page_route("/account/alerts/{project}", show_project_alerts, "Alerts of one project."),
    form_route("/account/alerts/{project}", choose_alerts, "Choose the own alerts of a project.", AlertsForm),
)
