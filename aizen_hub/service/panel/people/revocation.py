"""Taking a role away from a person, group or service account: what would be lost, and the change itself."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.revocation_preview import preview_revocation
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.commands.result import Result
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors, show_errors
from aizen_hub.service.panel.formatting import identity_path, page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import Step, offer_undo
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

FOLDERS = {
    "people": (IdentityKind.USER, NameKind.USER),
    "groups": (IdentityKind.GROUP, NameKind.GROUP),
    "service-accounts": (IdentityKind.SERVICE_ACCOUNT, NameKind.SERVICE_ACCOUNT),
}


class AssignmentQuery(Schema):
    role: Name
    scope: Name = SYSTEM


class RevocationForm(Form):
    role: Name
    scope: Name = SYSTEM
    reason: Note = ""


def identity_in(ctx: RequestContext) -> Identity:
    """Return the identity that the address names; raises NotFound for a name that none can have."""
    folder = ctx.route.path.split("/")[1]
    kind, name_kind = FOLDERS[folder]
    name = normalization.canonical_or_none(ctx.path_params["name"], name_kind)
    if name is None:
        raise not_in_panel()
    return Identity(kind, name)


async def show_revocation(ctx: RequestContext) -> RawResponse:
    return await _show(ctx, ctx.query.role, ctx.query.scope)


async def _show(
    ctx: RequestContext, role: str, scope: str, reason: str = "", errors: FormErrors = NO_ERRORS
) -> RawResponse:
    identity = identity_in(ctx)

    def read(viewer: Viewer) -> dict[str, Any]:
        viewer.require_identity(identity)
        # Roles of the system are seen by those who see all roles, and by their holder.
        if not viewer.sees_project(scope) and (scope != SYSTEM or identity != viewer.identity):
            raise not_in_panel()
        row: Any = assignments.find_assignment(viewer.tx, role, scope, identity)
        if row is None:
            raise NotFound(f"`{identity.name}` has no such role of their own", remedy="it was taken away, or has ended")
        return {
            "identity": identity,
            "role_name": role,
            "scope": scope,
            "reason": reason,
            "preview": preview_revocation(viewer.tx, row.id, scope, identity),
        }

    status = 422 if errors else 200
    return await show_page(ctx, "people/revoke.html", read, status=status, errors=errors)


async def revoke_role(ctx: RequestContext) -> RawResponse:
    body, identity = ctx.body, identity_in(ctx)

    where = "the whole system" if body.scope == SYSTEM else body.scope

    def operation(tx: WriteTransaction) -> tuple[Result, str | None, str]:
        Viewer(tx).require_identity(identity)
        row = assignments.find_assignment(tx, body.role, body.scope, identity)
        result = assignments.revoke_roles(tx, [body.role], body.scope, identity, reason=body.reason)
        if row is None or result.pending_id:
            return result, None, ""
        undo = offer_undo(tx, f"took {body.role} in {where} from {identity.name}", [_inverse(row)])
        # An identity that has nothing left in the viewer's projects is not visible to them any more.
        path = identity_path(identity)
        return result, undo, path if Viewer(tx).sees(identity) else path.partition("/")[0]

    async def change() -> RawResponse:
        result, undo, page = await authorized_value(ctx, operation)
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, page, Toast(f"{body.role} in {where} was taken away from {identity.name}.", undo))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, body.role, body.scope, body.reason, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


def _inverse(row: Any) -> Step:
    """Return the grant that restores an assignment."""
    times = {"starts": row.starts, "ends": row.ends}
    arguments = {"roles": [row.role], "scope": row.scope, "identity": row.identity, "reason": row.reason}
    return "grant", arguments | {name: None if time is None else time.isoformat() for name, time in times.items()}


ROUTES = tuple(
    route
    for folder in FOLDERS
    for route in (
        page_route(
            f"/{folder}/{{name}}/take-away", show_revocation, "What taking a role away changes.", AssignmentQuery
        ),
        form_route(f"/{folder}/{{name}}/take-away", revoke_role, "Take a role away.", RevocationForm),
    )
)
