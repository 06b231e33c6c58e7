"""A group's page: its members, everyone in it, what it gives, and its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles.revocability import find_obstacles
from aizen_hub.api_models.schema import Label, Note
from aizen_hub.authorization.queries.effective_access import list_granted_access
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.groups.members import list_members, read_tree
from aizen_hub.service.panel.groups.membership_preview import preview_default
from aizen_hub.service.panel.identity_rows import find_lock, visible_parents_of
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, PageQuery
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction


class GroupQuery(PageQuery):
    """The position in the list of members, and who is filled in to be added."""

    add: Annotated[Annotated[str, Field(max_length=10_000)] | None, EMPTY_IS_NONE] = None

    @property
    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in super().filters.items() if name != "add"}


class GroupSettingsForm(Form):
    """Without ``confirmed`` a change of who joins the group is shown, and nothing is saved."""

    description: Note = ""
    is_default: Label = ""
    confirmed: Typed = ""


class GroupDeletionForm(Form):
    """The name has to be typed, since a deletion cannot be undone."""

    typed_name: Label = ""


def find_group(viewer: Viewer, name: str) -> Any:
    """Return the row of a group that the viewer may see; raises the same NotFound for any other name."""
    canonical = normalization.canonical_or_none(name, NameKind.GROUP)
    if canonical is None:
        raise not_in_panel()
    viewer.require_identity(Identity.group(canonical))
    try:
        return identities.get_group(viewer.tx, canonical)
    except NotFound:
        raise not_in_panel() from None


async def show_group(ctx: RequestContext) -> RawResponse:
    return await show_members(ctx, ctx.query.add or "")


async def show_members(
    ctx: RequestContext, who: str = "", errors: FormErrors = NO_ERRORS, query: PageQuery | None = None
) -> RawResponse:
    """Render the page of a group, with what was typed to add members."""
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        row = find_group(viewer, name)
        identity = Identity.group(row.name)
        granted = list_granted_access(viewer.tx, identity, projects=viewer.projects)
        providers = {item.name: item for item in viewer.tx.settings.providers}
        labels = {name: item.label or item.name for name, item in providers.items()}
        is_of_directory = row.provider in providers and providers[row.provider].kind == "ldap"
        sees_members = viewer.sees_members(row.name)
        return {
            "group": row,
            "identity": identity,
            "page": list_members(viewer.tx, row.id, query or ctx.query or PageQuery()) if sees_members else None,
            "tree": read_tree(viewer.tx, row) if sees_members else None,
            "granted": granted,
            "obstacles": find_obstacles(viewer.tx, identity, granted),
            "parents": visible_parents_of(viewer, identity),
            "origin": labels.get(row.provider, row.provider),
            "may_change": viewer.may("groups"),
            "lock": find_lock(viewer.tx, identity),
            "may_stop": viewer.may("locks"),
            "is_local": row.provider is None,
            "may_read_now": is_of_directory and viewer.may("groups") and ctx.service.can_read_directories,
            "may_grant": viewer.is_manager,
            "who": who,
        }

    return await show_page(
        ctx,
        "groups/group.html",
        read,
        status=422 if errors else 200,
        errors=errors,
        audit_details=lambda _: {"details": {"query": "group", "target": f"group:{name}"}},
    )


async def change_settings(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body
    command_names = ctx.service.catalog.command_with_handler

    async def show_again(errors: FormErrors) -> RawResponse:
        return await show_members(ctx, errors=errors, query=PageQuery())

    if not body.confirmed and await ctx.authorized_read(_changes_who_joins(name, body)):
        return await show_errors(_preview_settings(ctx), show_again, command_names)

    def operation(tx: WriteTransaction) -> str | None:
        row = find_group(Viewer(tx), name)
        if body.description != row.description:
            management.describe_group(tx, row.name, body.description)
        is_default = body.is_default == "on"
        # Without a confirmation the form was sent to keep what it showed, which someone may have changed since.
        if not body.confirmed or is_default == row.is_default:
            return None
        return management.set_default_group(tx, row.name, is_default).pending_id

    async def change() -> RawResponse:
        pending = await authorized_value(ctx, operation)
        if pending:
            return see_other(ctx, page_path("changes", pending))
        return see_other(ctx, page_path("groups", name), f"{name} is saved.")

    return await show_errors(change(), show_again, command_names)


def _changes_who_joins(name: str, body: GroupSettingsForm) -> Callable[[ActorTransaction], bool]:
    return lambda tx: bool(find_group(Viewer(tx), name).is_default) != (body.is_default == "on")


async def _preview_settings(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def read(viewer: Viewer) -> dict[str, Any]:
        row = find_group(viewer, name)
        group, turns_on = Identity.group(row.name), body.is_default == "on"
        management.require_may_set_default(viewer.tx, group, turns_on)
        preview = preview_default(viewer, group)
        return {"group": row, "turns_on": turns_on, "description": body.description, "preview": preview}

    return await show_page(ctx, "groups/default.html", read, pool=ctx.service.pools.queries)


async def preview_deletion(ctx: RequestContext) -> RawResponse:
    return await _show_deletion(ctx)


async def _show_deletion(ctx: RequestContext, typed: str = "", errors: FormErrors = NO_ERRORS) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        row = find_group(viewer, name)
        if not viewer.may("groups"):
            raise not_in_panel()
        return {
            "group": row,
            "tree": read_tree(viewer.tx, row),
            "granted": list_granted_access(viewer.tx, Identity.group(row.name), projects=viewer.projects),
            "typed": typed,
        }

    return await show_page(ctx, "groups/delete.html", read, errors=errors, status=422 if errors else 200)


async def delete_group(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    async def change() -> RawResponse:
        if body.typed_name.strip() != name:
            raise FieldError("typed_name", f"type {name} to confirm that this group is meant")
        result = await authorized_value(ctx, lambda tx: management.delete_group(tx, name))
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, "groups", f"The group {name} is deleted.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show_deletion(ctx, body.typed_name, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/groups/{name}", show_group, "A group.", GroupQuery),
    form_route("/groups/{name}/settings", change_settings, "Change a group.", GroupSettingsForm),
    page_route("/groups/{name}/delete", preview_deletion, "What deleting a group changes."),
    form_route("/groups/{name}/delete", delete_group, "Delete a group.", GroupDeletionForm),
)
