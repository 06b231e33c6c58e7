"""Page *Compare*: two people side by side, and giving one of them what the other has."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.groups import membership
from aizen_hub.accounts.roles import bulk_grants
from aizen_hub.api_models.schema import Label, Note, Schema
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import project_of
from aizen_hub.service.http.form import Form, Ticked, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import undo_steps
from aizen_hub.service.panel.fields.until import GrantFields, presets
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.people import person_head
from aizen_hub.service.panel.people.comparison import compare_people
from aizen_hub.service.panel.people.person import about_person
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import Step, offer_undo
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction


class CompareQuery(Schema):
    who: OptionalText = None
    other: OptionalText = None


class SameForm(Form, GrantFields):
    """``give`` names what to give: ``role:SCOPE:ROLE`` or ``group:NAME``."""

    other: Typed = ""
    give: Ticked = ()


class _Same(Schema):
    other: Label = ""
    reason: Note = ""


async def show_comparison(ctx: RequestContext) -> RawResponse:
    query = ctx.query
    return await _show(ctx, query.who or "", query.other or "", None)


async def _show(
    ctx: RequestContext, who: str, other: str, form: SameForm | None, errors: FormErrors = NO_ERRORS
) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.is_manager:
            raise not_in_panel()
        mine, theirs, unknown = None, None, dict[str, str]()
        for field, name in (("who", who), ("other", other)):
            try:
                row = person_head.find_person(viewer, name) if name else None
            except NotFound:
                row, unknown[field] = None, f"there is no {name}, or no role of theirs that you may see"
            mine, theirs = (row, theirs) if field == "who" else (mine, row)
        compared = None
        if mine is not None and theirs is not None:
            compared = compare_people(viewer, Identity.user(mine.name), Identity.user(theirs.name))
        return {
            "who": who,
            "other": other,
            "mine": mine,
            "theirs": theirs,
            "compared": compared,
            "is_partial": viewer.projects is not None,
            "presets": presets(viewer.tx.now),
            "form": form,
            "errors": errors if errors else FormErrors(unknown),
            "may_change_groups": viewer.may("groups"),
        }

    return await show_page(
        ctx,
        "people/compare.html",
        read,
        status=422 if errors else 200,
        audit_details=about_person(ctx, who) if who else None,
        pool=ctx.service.pools.queries,
    )


async def grant_same(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def operation(tx: WriteTransaction) -> tuple[str, str | None]:
        typed = read_form(_Same, body)
        if not body.give:
            raise FieldError("give", "tick what to give")
        viewer = Viewer(tx)
        identity = Identity.user(person_head.find_person(viewer, name).name)
        ends = body.read_end(tx.now)
        steps: list[Step] = []
        waits = False
        for text in body.give:
            kind, _, what = text.partition(":")
            if kind == "group":
                result = membership.add_member(tx, what, identity)
                if result.data.get("changed"):
                    steps.append(("remove-member", {"group": what, "member": str(identity)}))
                waits = waits or result.pending_id is not None
            elif kind == "role":
                scope, _, role = what.rpartition(":")
                data = bulk_grants.grant_to_all(
                    tx, role, project_of(scope), [identity], interval=Interval(None, ends), reason=typed.reason
                ).data
                steps += undo_steps(data["former"])
                waits = waits or bool(data["pending_ids"])
            else:
                raise BadInput("this cannot be given")
        text = (
            f"{len(steps)} of what {typed.other} has {'was' if len(steps) == 1 else 'were'} given to {identity.name}."
        )
        undo = None if waits or not steps else offer_undo(tx, f"gave {identity.name} the same as {typed.other}", steps)
        return text, undo

    async def change() -> RawResponse:
        text, undo = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("people", name), Toast(text, undo))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, name, body.other, body, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/compare", show_comparison, "Two people side by side.", CompareQuery),
    form_route("/people/{name}/same", grant_same, "Give a person what another one has.", SameForm),
)
