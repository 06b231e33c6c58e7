"""Page *Permissions*: what roles are made of, by name; custom permissions and limits are made and deleted here."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.roles import permissions
from aizen_hub.api_models.schema import Schema
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.roles.role_holders import first_holders
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction


class NewPermissionForm(Form):
    name: Typed = ""
    description: Typed = ""
    right: Typed = ""
    limit: Typed = ""
    value: Typed = ""


class PermissionDeletionQuery(Schema):
    name: Typed = ""


class PermissionDeletionForm(Form):
    name: Typed = ""


async def show_permissions(ctx: RequestContext) -> RawResponse:
    return await _render(ctx)


async def _render(ctx: RequestContext, form: NewPermissionForm | None = None, **more: Any) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        rows = permissions.list_permissions(tx).rows
        return {
            "named": [row for row in rows if row[5] != "command"],
            "required": [row for row in rows if row[5] == "command"],
            "limit_options": [(kind.value, kind.value) for kind in LimitKind],
            "may_edit": viewer.may("roles"),
            "form": form,
        }

    return await show_page(ctx, "roles/permissions.html", read, **more)


async def create_permission(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        value: float | None = None
        if body.limit:
            try:
                value = float(body.value)
            except ValueError:
                raise FieldError("value", "write the number of the limit") from None

        def operation(tx: WriteTransaction) -> str:
            return permissions.create_permission(
                tx,
                body.name.strip(),
                permission=body.right.strip() or None,
                limit=body.limit or None,
                value=value,
                description=body.description.strip(),
            ).message

        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("permissions"), Toast(f"{body.name.strip()} can be put into roles now."))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, body, errors=errors, status=422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def preview_deletion(ctx: RequestContext) -> RawResponse:
    """Say that no one loses anything with a permission, or which roles keep it from being deleted and who has these."""
    service, name = ctx.service, ctx.query.name

    async def preview() -> RawResponse:
        def read(viewer: Viewer) -> dict[str, Any]:
            named, roles = permissions.get_deletable_permission(viewer.tx, name)
            return {
                "named": named,
                "content": permissions.describe(named),
                "roles": roles,
                "holders": first_holders(viewer, roles),
            }

        def audit_details(_: Any) -> dict[str, Any]:
            return {"details": {"query": "roles"}}

        template = "roles/permission_deletion.html"
        return await show_page(ctx, template, read, audit_details=audit_details, pool=service.pools.queries)

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, errors=errors, status=422)

    return await show_errors(preview(), show_again, ctx.service.catalog.command_with_handler)


async def delete_permission(ctx: RequestContext) -> RawResponse:
    name = ctx.body.name

    async def change() -> RawResponse:
        await authorized_value(ctx, lambda tx: permissions.delete_permission(tx, name).message)
        return see_other(ctx, page_path("permissions"), Toast(f"{name} was deleted."))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, errors=errors, status=422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/permissions", show_permissions, "What roles are made of."),
    form_route("/permissions", create_permission, "Make a permission, from the page.", NewPermissionForm),
    page_route("/permissions/delete", preview_deletion, "Who loses what with a permission.", PermissionDeletionQuery),
    form_route("/permissions/delete", delete_permission, "Delete a permission, from the page.", PermissionDeletionForm),
)
