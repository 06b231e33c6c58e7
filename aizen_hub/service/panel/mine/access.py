"""Page *My access*: the viewer's roles by project and their source, limits, running servers, and asking for more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.roles import access_requests
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization.queries.effective_access import ScopeAccess, list_access
from aizen_hub.jobs.limit_use import read_limits_by_scope
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.mine import asking, sessions
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables

_SCOPES_PER_PAGE = 20
_MAX_REQUESTS = 5
_MAX_SESSIONS = 5
_MAX_ACTING = 3
_p = tables.projects


class AccessQuery(Schema):
    """Where the list begins."""

    after: OptionalText = None


async def show_access(ctx: RequestContext) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        tx, identity = viewer.tx, viewer.identity
        access = list_access(tx, identity, after=ctx.query.after, limit=_SCOPES_PER_PAGE)
        own_requests = access_requests.list_own_requests(tx, identity, _MAX_REQUESTS)
        running, acting = sessions.split_acting(sessions.own_sessions(viewer))
        jobs = sessions.acting_jobs(viewer)
        return {
            "access": access,
            "descriptions": _descriptions(viewer, access.scopes),
            "limits": read_limits_by_scope(tx, identity, [scope.scope for scope in access.scopes]),
            "sessions": running[:_MAX_SESSIONS],
            "session_count": len(running),
            "running_in": {row.project for row in running},
            "acting": acting[:_MAX_ACTING],
            "acting_jobs": jobs[:_MAX_ACTING],
            "acting_count": len(acting) + len(jobs),
            "requests": own_requests.rows,
            "more_requests": own_requests.data["more"],
            **asking.form_variables(viewer, asking.empty_form()),
        }

    return await show_page(ctx, "mine/access.html", read, fragment="live")


def _descriptions(viewer: Viewer, scopes: tuple[ScopeAccess, ...]) -> dict[str, str]:
    names = [scope.scope for scope in scopes if scope.scope != SYSTEM]
    rows = viewer.tx.conn.execute(select(_p.c.name, _p.c.description).where(_p.c.name.in_(names)))
    return {row.name: row.description for row in rows}


ROUTES = (page_route("/me", show_access, "My access.", AccessQuery),)
