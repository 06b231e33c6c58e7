"""Adding members to a group kept here and removing them, each with a preview of who gets or loses what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.groups import membership
from aizen_hub.api_models.schema import Name, Schema
from aizen_hub.authorization import checks
from aizen_hub.problems import Conflict, Escalation, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.typed_identities import read_identities
from aizen_hub.service.panel.form_errors import FormErrors, at_field, show_errors
from aizen_hub.service.panel.formatting import format_identity, page_path
from aizen_hub.service.panel.groups.group import find_group, show_members
from aizen_hub.service.panel.groups.membership_preview import preview_joining, preview_leaving
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import PageQuery
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import offer_undo
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


class GroupMembersForm(Form):
    """Without ``confirmed`` the change is shown, and not made."""

    who: Typed = ""
    confirmed: Typed = ""


class GroupMemberQuery(Schema):
    member: Name


class GroupMemberForm(Form):
    member: Name


async def add_members(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    async def show_again(errors: FormErrors) -> RawResponse:
        return await show_members(ctx, body.who, errors, PageQuery())

    command_names = ctx.service.catalog.command_with_handler
    if not body.confirmed:
        return await show_errors(_preview_addition(ctx), show_again, command_names)

    def operation(tx: WriteTransaction) -> tuple[int, str | None, str | None]:
        row = find_group(Viewer(tx), name)
        # Before the names are read: which exist is told to those who manage groups.
        checks.require(tx, checks.endpoint_permission(tx, "groups"))
        members = read_identities(tx, body.who, field="who")
        added, pending = _add(tx, row.name, members)
        steps = [("remove-member", {"group": row.name, "member": str(member)}) for member in added]
        undo = offer_undo(tx, f"added {len(added)} to {row.name}", steps) if added and pending is None else None
        return len(added), undo, pending

    async def change() -> RawResponse:
        number, undo, pending = await authorized_value(ctx, operation)
        if pending:
            return see_other(ctx, page_path("changes", pending))
        text = f"{number} {'member was' if number == 1 else 'members were'} added to {name}."
        return see_other(ctx, page_path("groups", name), Toast(text, undo))

    return await show_errors(change(), show_again, command_names)


def _add(tx: WriteTransaction, group: str, members: Sequence[Identity]) -> tuple[list[Identity], str | None]:
    """Add all members or none; return those who were not in the group, and the id of a change that waits."""
    added, pending = [], None
    for member in members:
        with _at_who(tx, member):
            result = membership.add_member(tx, group, member)
        pending = pending or result.pending_id
        if result.data.get("changed"):
            added.append(member)
    return added, pending


async def _preview_addition(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        row = find_group(viewer, name)
        checks.require(tx, checks.endpoint_permission(tx, "groups"))
        members = read_identities(tx, body.who, field="who")
        for member in members:
            with _at_who(tx, member):
                membership.require_may_add(tx, row.name, member)
        preview = preview_joining(viewer, Identity.group(row.name), members)
        return {"group": row, "members": members, "who": body.who, "preview": preview}

    return await show_page(ctx, "groups/add_members.html", read, pool=ctx.service.pools.queries)


@contextmanager
def _at_who(tx: ReadTransaction, member: Identity) -> Iterator[None]:
    """Turn what is wrong with one member into an error of the field."""
    try:
        yield
    except (Conflict, Escalation, NotFound) as problem:
        problem.detail = f"{format_identity(member)} cannot be added: {problem.detail}"
        raise at_field("who", problem, tx.catalog.command_with_handler) from None


async def preview_removal(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        row = find_group(viewer, name)
        checks.require(viewer.tx, checks.endpoint_permission(viewer.tx, "groups"))
        member = _stored_member(viewer.tx, row, ctx.query.member)
        group = Identity.group(row.name)
        return {"group": row, "member": member, "preview": preview_leaving(viewer, group, member)}

    return await show_page(ctx, "groups/remove_member.html", read, pool=ctx.service.pools.queries)


def _stored_member(tx: ReadTransaction, row: Any, text: str) -> Identity:
    memberships = tables.memberships
    query = select(memberships.c.id).where(memberships.c.group_id == row.id, memberships.c.member == text)
    if tx.conn.execute(query).first() is None:
        raise NotFound("this is not a member of the group", remedy="it was removed in the meantime")
    return Identity.parse(text)


async def remove_member(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["name"]

    def operation(tx: WriteTransaction) -> tuple[Identity, str | None, str | None]:
        row = find_group(Viewer(tx), name)
        member = _stored_member(tx, row, ctx.body.member)
        result = membership.remove_member(tx, row.name, member)
        if result.pending_id:
            return member, None, result.pending_id
        steps = [("add-member", {"group": row.name, "member": str(member)})]
        return member, offer_undo(tx, f"removed {member.name} from {row.name}", steps), None

    async def change() -> RawResponse:
        member, undo, pending = await authorized_value(ctx, operation)
        if pending:
            return see_other(ctx, page_path("changes", pending))
        return see_other(ctx, page_path("groups", name), Toast(f"{member.name} was removed from {name}.", undo))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await show_members(ctx, errors=errors, query=PageQuery())

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    form_route("/groups/{name}/members", add_members, "Add members to a group.", GroupMembersForm),
    page_route("/groups/{name}/remove", preview_removal, "What removing a member changes.", GroupMemberQuery),
    form_route("/groups/{name}/remove", remove_member, "Remove a member from a group.", GroupMemberForm),
)
