"""Changes of a project's members: several are added at once, one role is changed or taken away in its place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.roles import bulk_grants, grant_preview
from aizen_hub.accounts.roles.grant_preview import GrantPreview
from aizen_hub.accounts.roles.lookup import get_role
from aizen_hub.accounts.roles.revocation_preview import RevocationPreview, preview_revocation
from aizen_hub.authorization.delegation import GrantAuthority, join_missing
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import offer_restoration
from aizen_hub.service.panel.fields.typed_identities import read_grantees
from aizen_hub.service.panel.fields.until import NO_END, ON_DATE, GrantFields, presets
from aizen_hub.service.panel.form_errors import FormErrors, show_errors
from aizen_hub.service.panel.formatting import format_day, format_identity, last_moment, page_path
from aizen_hub.service.panel.grant_sentences import describe_grants
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.projects.members import MembersQuery, render_members
from aizen_hub.service.panel.projects.project_head import require_visible
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

EXTENSION = timedelta(days=30)
PREVIEW = "preview"
_a = tables.assignments


class MemberAdditionQuery(GrantFields):
    """Who is to get which role."""

    who: Typed = ""
    give_role: Typed = ""


class MemberAdditionForm(Form, MemberAdditionQuery):
    """The same, to be done."""


class MemberChangeForm(Form, GrantFields):
    """``act`` is `PREVIEW` where the change is only shown."""

    new_role: Typed = ""
    act: Typed = ""


class MemberRemovalForm(Form):
    reason: Typed = ""


class MemberExtensionForm(Form):
    """The button *+ 30 days*."""


async def add_members(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> tuple[str, str | None]:
            require_visible(Viewer(tx), name)
            identities = read_grantees(tx, body.who, get_role(tx, body.give_role), name, field="who")
            ends = body.read_end(tx.now)
            result = bulk_grants.grant_to_all(
                tx, body.give_role, name, identities, interval=Interval(ends=ends), reason=body.reason.strip()
            )
            role = get_role(tx, body.give_role).name
            text = describe_grants(result.data, role, name)
            return text, offer_restoration(tx, f"gave {role} in {name}", result.data["former"])

        text, undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name), Toast(text, undo_id))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await render_members(ctx, MembersQuery(), errors, body, 422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def preview_members(ctx: RequestContext) -> RawResponse:
    """Return the line beside the button: who gets it, who has it already, who cannot."""
    name, query = ctx.path_params["project"], ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        require_visible(viewer, name)
        if not query.who.strip():
            return {"previews": [], "problem": None, "role": query.give_role}
        try:
            role = get_role(tx, query.give_role)
            identities = read_grantees(tx, query.who, role, name, field="who")
            ends = query.read_end(tx.now)
        except Problem as problem:
            return {"previews": [], "problem": problem, "role": query.give_role}
        previews = grant_preview.preview_grants(tx, role, name, identities, Interval(ends=ends))
        return {"previews": previews, "problem": None, "role": role.name}

    return await show_page(ctx, "projects/preview.html", read, fragment="preview")


def get_assignment(tx: ReadTransaction, project: str, text: str) -> Any:
    """Return the row of an assignment of the project by its id from an address; else the problem of a missing page."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    row = tx.conn.execute(select(_a).where(_a.c.id == number, _a.c.scope == project)).first()
    if row is None:
        raise not_in_panel()
    return row


async def show_member(ctx: RequestContext) -> RawResponse:
    return await _render_member(ctx)


async def _render_member(ctx: RequestContext, **more: Any) -> RawResponse:
    name, assignment = ctx.path_params["project"], ctx.path_params["assignment"]

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        viewer.require_project(name)
        row = get_assignment(tx, name, assignment)
        holder = Identity.parse(row.identity)
        roles = [role.name for role in grant_preview.grantable_roles(tx, name)]
        preview = preview_revocation(tx, row.id, name, holder)
        refusal = _refusal(tx, row, holder)
        form = more.get("form")
        return {
            "project_name": name,
            "assignment": row,
            "holder": holder,
            "role_options": [(role, role) for role in dict.fromkeys([row.role, *roles])],
            "presets": presets(tx.now),
            "preview": preview,
            "refusal": refusal,
            "change": None if form is None or refusal else _preview_change(tx, row, holder, form),
            "until": NO_END if row.ends is None else ON_DATE,
            "until_date": "" if row.ends is None else f"{row.ends - timedelta(seconds=1):%Y-%m-%d}",
        }

    return await show_page(ctx, "projects/member.html", read, fragment="inline", **{"form": None, **more})


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What the form of a role would change.

    Attributes
    ----------
    problem : Problem or None
        Why it cannot be told.
    grant : GrantPreview or None
        What becomes of the role that was chosen.
    effect : RevocationPreview or None
        What is gained and lost where that is another role.
    """

    problem: Problem | None
    grant: GrantPreview | None = None
    effect: RevocationPreview | None = None


def _preview_change(tx: ActorTransaction, row: Any, holder: Identity, form: MemberChangeForm) -> ChangePreview:
    try:
        role, ends = get_role(tx, form.new_role), form.read_end(tx.now)
    except Problem as problem:
        return ChangePreview(problem)
    grant = grant_preview.preview_grants(tx, role, row.scope, [holder], Interval(ends=ends))[0]
    if role.name == row.role:
        return ChangePreview(None, grant)
    return ChangePreview(None, grant, preview_revocation(tx, row.id, row.scope, holder, replacement=role))


def _refusal(tx: ActorTransaction, row: Any, holder: Identity) -> str:
    """Return why the actor may not change an assignment; empty if they may."""
    role = tx.roles.get(row.role)
    if row.mapped:
        return "a rule of the directory gives it, and would give it again"
    if role is None:
        return "the role does not exist any more"
    authority = GrantAuthority.of_actor(tx)
    return join_missing(authority.missing_to_revoke(tx, role, row.scope, holder, creator=row.creator))


async def change_member(ctx: RequestContext) -> RawResponse:
    name, assignment, body = ctx.path_params["project"], ctx.path_params["assignment"], ctx.body
    if body.act == PREVIEW:
        return await _render_member(ctx, form=body)

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> tuple[str, str | None]:
            Viewer(tx).require_project(name)
            row = get_assignment(tx, name, assignment)
            holder, ends = Identity.parse(row.identity), body.read_end(tx.now)
            role = get_role(tx, body.new_role).name
            reason, former = body.reason.strip() or row.reason, []
            interval = Interval(row.starts if row.starts is not None and row.starts > tx.now else None, ends)
            result = bulk_grants.grant_to_all(tx, role, name, [holder], interval=interval, reason=reason)
            former += result.data["former"]
            if role != row.role:
                former += bulk_grants.revoke_from_all(tx, [(row.role, name, holder)], reason=reason).data["former"]
            label = f"changed {format_identity(holder)} in {name}"
            return describe_grants(result.data, role, name), offer_restoration(tx, label, reversed(former))

        text, undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name), Toast(text, undo_id))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render_member(ctx, errors=errors, form=body, status=422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def remove_member(ctx: RequestContext) -> RawResponse:
    name, assignment, body = ctx.path_params["project"], ctx.path_params["assignment"], ctx.body

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> tuple[str, str | None]:
            Viewer(tx).require_project(name)
            row = get_assignment(tx, name, assignment)
            holder = Identity.parse(row.identity)
            result = bulk_grants.revoke_from_all(tx, [(row.role, name, holder)], reason=body.reason.strip())
            who = format_identity(holder)
            if result.data["pending_ids"]:
                return f"Taking {row.role} from {who} waits for confirmation.", None
            undo_id = offer_restoration(tx, f"took {row.role} from {who} in {name}", result.data["former"])
            return f"{who} no longer has {row.role} in {name}.", undo_id

        text, undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name), Toast(text, undo_id))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render_member(ctx, errors=errors, status=422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def extend_member(ctx: RequestContext) -> RawResponse:
    """Let a role that ends soon end thirty days later."""
    name, assignment = ctx.path_params["project"], ctx.path_params["assignment"]

    def operation(tx: WriteTransaction) -> tuple[str, str | None]:
        Viewer(tx).require_project(name)
        row = get_assignment(tx, name, assignment)
        holder = Identity.parse(row.identity)
        ends = max(row.ends or tx.now, tx.now) + EXTENSION
        interval = Interval(row.starts, ends)
        result = bulk_grants.grant_to_all(tx, row.role, name, [holder], interval=interval, reason=row.reason)
        label = f"extended {row.role} of {format_identity(holder)} in {name}"
        return (
            f"{format_identity(holder)} has {row.role} until {format_day(last_moment(ends), tx.now)}.",
            offer_restoration(tx, label, result.data["former"]),
        )

    text, undo_id = await authorized_value(ctx, operation)
    return see_other(ctx, page_path("projects", name), Toast(text, undo_id))


ROUTES = (
    form_route(
        "/projects/{project}/members", add_members, "Give a role to several, from the page.", MemberAdditionForm
    ),
    page_route(
        "/projects/{project}/members/-/preview", preview_members, "What adding members would do.", MemberAdditionQuery
    ),
    page_route("/projects/{project}/members/{assignment}", show_member, "One role of one member."),
    form_route(
        "/projects/{project}/members/{assignment}",
        change_member,
        "Change a member's role, from the page.",
        MemberChangeForm,
    ),
    form_route(
        "/projects/{project}/members/{assignment}/remove",
        remove_member,
        "Take a role away, from the page.",
        MemberRemovalForm,
    ),
    form_route(
        "/projects/{project}/members/{assignment}/extend",
        extend_member,
        "Extend a role, from the page.",
        MemberExtensionForm,
    ),
)
