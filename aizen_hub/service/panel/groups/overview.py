"""Page *Groups*: what each group holds and gives, and making a new one."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management
from aizen_hub.api_models.schema import Label, Name, Note, Schema
from aizen_hub.problems import Conflict
from aizen_hub.service.http.form import Form, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors, at_field, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.groups import listing
from aizen_hub.service.panel.groups.listing import KEPT_HERE, GroupsQuery
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext


class NewGroupForm(Form):
    name: Typed = ""
    description: Typed = ""
    provider: Typed = ""


class _Group(Schema):
    name: Name
    description: Note = ""
    provider: Label = ""


async def show_groups(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        page, groups = listing.list_groups(viewer, query)
        if not viewer.is_manager and not (groups or query.filters):
            raise not_in_panel()
        return {
            "page": page,
            "groups": groups,
            "counts": listing.count_groups(viewer),
            "query": query,
            "active_filters": sum(value is not None for value in (query.origin, query.project, query.state)),
            "origins": [(KEPT_HERE, "Here (local)"), *_directories(viewer)],
            "labels": dict(_directories(viewer)),
            "may_create": viewer.may("groups"),
        }

    return await show_page(
        ctx, "groups/groups.html", read, fragment="results", audit_details=lambda _: {"details": {"query": "groups"}}
    )


def _directories(viewer: Viewer) -> list[tuple[str, str]]:
    """Return the identity providers that can report groups."""
    providers = viewer.tx.settings.providers
    return [(item.name, item.label or item.name) for item in providers if item.kind != identities.LOCAL_KIND]


async def show_new_group(ctx: RequestContext) -> RawResponse:
    return await _show_new(ctx, None)


async def _show_new(ctx: RequestContext, form: NewGroupForm | None, errors: FormErrors = NO_ERRORS) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may("groups"):
            raise not_in_panel()
        return {"form": form or NewGroupForm(xsrf="-"), "directories": _directories(viewer)}

    return await show_page(ctx, "groups/new.html", read, errors=errors, status=422 if errors else 200)


async def create_group(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        typed = read_form(_Group, body)
        try:
            result = await authorized_value(
                ctx,
                lambda tx: management.create_group(
                    tx, typed.name, description=typed.description, provider=typed.provider or None
                ),
            )
        except Conflict as problem:
            raise at_field("name", problem, ctx.service.catalog.command_with_handler) from None
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, page_path("groups", result.data["group"]), f"The group {result.data['group']} is made.")

    return await show_errors(
        change(), lambda errors: _show_new(ctx, body, errors), ctx.service.catalog.command_with_handler
    )


ROUTES = (
    page_route("/groups", show_groups, "Groups.", GroupsQuery),
    page_route("/groups/-/new", show_new_group, "Make a group."),
    form_route("/groups/-/new", create_group, "Make a group.", NewGroupForm),
)
