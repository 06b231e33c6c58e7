"""Page *My access*: the viewer's roles by project and their source, limits, running servers, and asking for more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.roles import access_requests, request_checks
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.effective_access import ScopeAccess, list_access
from aizen_hub.commands.result import Result
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.form import Form, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel import until
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.limit_use import read_limits
from aizen_hub.service.panel.mine import sessions
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_SCOPES_PER_PAGE = 20
_MAX_REQUESTS = 5
_MAX_SESSIONS = 5
_MAX_PROJECTS = 500
DEFAULT_UNTIL = "30d"
_p = tables.projects


class AccessQuery(Schema):
    """Where the list begins, and what the form is filled in with, from a link."""

    after: OptionalText = None
    project: OptionalText = None
    scope: OptionalText = None
    role: OptionalText = None


class AccessRequestForm(Form):
    scope: Typed = ""
    role: Typed = ""
    reason: Typed = ""
    until: Typed = ""
    until_date: Typed = ""


class _Request(Schema):
    role: Name
    reason: Note = ""


async def show_access(ctx: RequestContext) -> RawResponse:
    query = ctx.query
    scope = query.project or query.scope or ""
    typed = AccessRequestForm(xsrf="-", scope=scope, role=query.role or "", until=DEFAULT_UNTIL)
    return await _show(ctx, query.after, typed)


async def _show(
    ctx: RequestContext, after: str | None, typed: AccessRequestForm, errors: FormErrors = NO_ERRORS
) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        tx, identity = viewer.tx, viewer.identity
        access = list_access(tx, identity, after=after, limit=_SCOPES_PER_PAGE)
        own_requests = access_requests.list_own_requests(tx, identity, _MAX_REQUESTS)
        running = sessions.own_sessions(viewer)
        return {
            "access": access,
            "descriptions": _descriptions(viewer, access.scopes),
            "limits": [
                (scope.scope, uses) for scope in access.scopes if (uses := read_limits(tx, identity, scope.scope))
            ],
            "sessions": running[:_MAX_SESSIONS],
            "session_count": len(running),
            "running_in": {row.project for row in running},
            "requests": own_requests.rows,
            "more_requests": own_requests.data["more"],
            "role_groups": _role_options(viewer),
            "projects": _projects_to_ask_for(viewer),
            "presets": until.presets(tx.now),
            "typed": typed,
        }

    return await show_page(ctx, "mine/access.html", read, fragment="live", errors=errors, status=422 if errors else 200)


def _descriptions(viewer: Viewer, scopes: tuple[ScopeAccess, ...]) -> dict[str, str]:
    names = [scope.scope for scope in scopes if scope.scope != SYSTEM]
    rows = viewer.tx.conn.execute(select(_p.c.name, _p.c.description).where(_p.c.name.in_(names)))
    return {row.name: row.description for row in rows}


def _role_options(viewer: Viewer) -> list[tuple[str, list[tuple[str, str]]]]:
    groups = request_checks.requestable_roles(viewer.tx, viewer.identity)
    return [
        (label, [(role.name, ": ".join(filter(None, (role.name, role.description)))) for role in roles])
        for label, roles in groups
    ]


def _projects_to_ask_for(viewer: Viewer) -> list[str]:
    """Return the projects that the form suggests: those that the viewer sees, and the listed ones."""
    own = [row.name for row in checks.visible_projects(viewer.tx, viewer.identity)[:_MAX_PROJECTS]]
    query = select(_p.c.name).where(_p.c.listed).order_by(_p.c.name).limit(_MAX_PROJECTS)
    return sorted({*own, *viewer.tx.conn.execute(query).scalars()})[:_MAX_PROJECTS]


async def create_request(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        if not body.role:
            raise FieldError("role", "choose a role")
        request = read_form(_Request, body)
        scope = body.scope.strip() or SYSTEM
        if not scope.isprintable() or len(scope) > 255:
            raise FieldError("scope", "this is not the name of a project")

        def operation(tx: WriteTransaction) -> Result:
            ends = until.parse_until(body.until, body.until_date, tx.now)
            return access_requests.request_access(tx, request.role, scope, reason=request.reason, until=ends)

        await authorized_value(ctx, operation)
        return see_other(ctx, "me", "Your request was sent to those who can approve it.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, None, body, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/me", show_access, "My access.", AccessQuery),
    form_route("/me/request", create_request, "Request a role, from the page.", AccessRequestForm),
)
