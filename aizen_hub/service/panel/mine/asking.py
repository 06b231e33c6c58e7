"""Page *Ask for access*: a request for a role, which the address of the page can fill in completely."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field
from sqlalchemy import select

from aizen_hub.accounts.roles import access_requests, request_checks
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.authorization import checks
from aizen_hub.authorization.lock_state import is_archived
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.form import Form, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields import until
from aizen_hub.service.panel.form_errors import FieldError, FormErrors, show_errors
from aizen_hub.service.panel.mine.deciders import Deciders, find_deciders
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.validation.duration import EXAMPLE, parse_duration

DEFAULT_UNTIL = "30d"
_MAX_PROJECTS = 500
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_p = tables.projects
RoleGroups = list[tuple[str, list[tuple[str, str]]]]
"""Options of the field of the role: a label, and the roles under it with their texts."""


class AskQuery(Schema):
    """What a link fills in: other channels open this page with what was refused there."""

    project: Typed = ""
    role: Typed = ""
    for_: Typed = Field(default="", alias="for")
    until: Typed = ""
    because: Typed = ""


class AskAccessForm(Form):
    project: Typed = ""
    role: Typed = ""
    because: Typed = ""
    until: Typed = ""
    until_date: Typed = ""
    until_moment: Typed = ""


class _Request(Schema):
    role: Name
    because: Note = ""


def empty_form() -> AskAccessForm:
    """Return the form as it is shown where nothing is filled in."""
    return AskAccessForm(xsrf="-", until=DEFAULT_UNTIL)


def form_variables(viewer: Viewer, typed: AskAccessForm) -> dict[str, Any]:
    """Return the variables of the form, of this page and of *My access*."""
    return {
        "typed": typed,
        "role_groups": _role_options(viewer),
        "projects": _projects_to_ask_for(viewer),
        "presets": until.presets(viewer.tx.now, chosen=typed.until),
        "deciders": find_deciders(viewer, typed.project, typed.role),
    }


async def show_asking(ctx: RequestContext) -> RawResponse:
    query: AskQuery = ctx.query
    filled = {"project": query.project, "role": query.role, "because": query.because, **_chosen_end(query)}
    typed = empty_form().model_copy(update=filled)

    def read(viewer: Viewer) -> dict[str, Any]:
        variables = form_variables(viewer, typed)
        return {**variables, "errors": _faults_of_link(query, variables["role_groups"])}

    return await show_page(ctx, "mine/ask.html", read, summary="Filled in by the link")


def _chosen_end(query: AskQuery) -> dict[str, str]:
    """Return how the form shows the end that a link asks for."""
    if parse_duration(query.for_):
        return {"until": query.for_}
    if _DAY.fullmatch(query.until):
        return {"until": until.ON_DATE, "until_date": query.until}
    return {"until": until.NO_END} if query.until == until.NO_END else {}


def _faults_of_link(query: AskQuery, role_groups: RoleGroups) -> FormErrors:
    """Return what a link fills in that the form cannot show, so that nothing of it is dropped in silence."""
    fields = {}
    if query.role and query.role not in {name for _, options in role_groups for name, _ in options}:
        fields["role"] = f"{query.role} cannot be asked for; choose a role of the list"
    if (query.for_ or query.until) and not _chosen_end(query):
        fields["until"] = f"{query.for_ or query.until} is no end; {EXAMPLE}, or a day such as 2027-01-31"
    return FormErrors(fields)


async def ask_for_access(ctx: RequestContext) -> RawResponse:
    body: AskAccessForm = ctx.body

    async def change() -> RawResponse:
        if not body.role:
            raise FieldError("role", "choose a role")
        request = read_form(_Request, body)
        scope = body.project.strip() or SYSTEM
        if not scope.isprintable() or len(scope) > 255:
            raise FieldError("project", "this is not the name of a project")

        def operation(tx: WriteTransaction) -> Deciders | None:
            ends = until.parse_until(body.until, body.until_date, tx.now, moment=body.until_moment)
            access_requests.request_access(tx, request.role, scope, reason=request.because, until=ends)
            return find_deciders(Viewer(tx), body.project, request.role)

        deciders = await authorized_value(ctx, operation)
        return see_other(ctx, "me/requests", _sentence_of_sent(deciders))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await show_page(
            ctx,
            "mine/ask.html",
            lambda viewer: form_variables(viewer, body),
            errors=errors,
            status=422,
            summary="Not sent",
        )

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


def _sentence_of_sent(deciders: Deciders | None) -> str:
    if deciders is None or not deciders.names:
        return "Your request was sent to those who can approve it."
    names = " and ".join((*deciders.names, "others") if deciders.more else deciders.names)
    return f"Your request was sent to {names}."


def _role_options(viewer: Viewer) -> RoleGroups:
    groups = request_checks.requestable_roles(viewer.tx, viewer.identity)
    return [
        (label, [(role.name, ": ".join(filter(None, (role.name, role.description)))) for role in roles])
        for label, roles in groups
    ]


def _projects_to_ask_for(viewer: Viewer) -> list[str]:
    """Return the projects that the form suggests: those that the viewer sees, and the listed ones."""
    own = [row.name for row in checks.visible_projects(viewer.tx, viewer.identity)[:_MAX_PROJECTS]]
    query = select(_p.c.name).where(_p.c.listed, ~is_archived(_p.c.name)).order_by(_p.c.name).limit(_MAX_PROJECTS)
    return sorted({*own, *viewer.tx.conn.execute(query).scalars()})[:_MAX_PROJECTS]


ROUTES = (
    page_route("/me/ask", show_asking, "Ask for access.", AskQuery),
    form_route("/me/ask", ask_for_access, "Request a role, from the page.", AskAccessForm),
)
