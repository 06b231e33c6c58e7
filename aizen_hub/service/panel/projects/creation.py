"""Page *New project*."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.projects import lifecycle, profile
from aizen_hub.accounts.roles import bulk_grants, limits
from aizen_hub.authorization import checks
from aizen_hub.problems import BadInput, Conflict, Fault
from aizen_hub.rbac.role import SYSTEM, LimitKind, ScopeKind
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.typed_identities import read_identities
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction


class NewProjectForm(Form):
    name: Typed = ""
    description: Typed = ""
    listed: Typed = ""
    who: Typed = ""
    role: Typed = ""


async def show_new(ctx: RequestContext) -> RawResponse:
    return await _render(ctx)


async def _render(
    ctx: RequestContext, form: NewProjectForm | None = None, errors: FormErrors = NO_ERRORS, status: int = 200
) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        checks.require_command(tx, "create_project")
        bound = limits.limits_of(tx, viewer.identity, SYSTEM).get(LimitKind.PROJECTS)
        roles = [role.name for role in tx.catalog.roles.values() if ScopeKind.PROJECT in role.scopes]
        return {
            "form": form,
            "role_options": [(role, role) for role in roles],
            "creator_role": tx.catalog.creator_role,
            "used": limits.count_created_projects(tx, viewer.identity),
            "allowed": None if bound is None else bound.value,
        }

    return await show_page(ctx, "projects/new.html", read, errors=errors, status=status)


async def create_project(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> str:
            # Both fields are read before either is refused: the form is corrected in one go.
            faults: list[Fault] = []
            name, identities = "", []
            try:
                result = lifecycle.create_project(tx, body.name.strip(), description=body.description.strip())
                name = result.data["project"]
            except (BadInput, Conflict) as error:
                detail = error.faults[0].detail if error.faults else error.detail
                faults.append(Fault("/name", f"{detail}; {error.remedy}" if error.remedy else detail))
            try:
                identities = read_identities(tx, body.who, field="who") if body.who.strip() else []
            except FieldError as error:
                faults += error.faults
            if faults:
                raise BadInput(faults[0].detail, faults=tuple(faults))
            if body.listed == "yes":
                profile.update_profile(tx, name, listed=True)
            if identities:
                bulk_grants.grant_to_all(tx, body.role, name, identities, reason="a first member")
            return name

        name = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name), Toast(f"{name} was made."))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, body, errors, 422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/projects/-/new", show_new, "Make a project."),
    form_route("/projects/-/new", create_project, "Make a project, from its page.", NewProjectForm),
)
