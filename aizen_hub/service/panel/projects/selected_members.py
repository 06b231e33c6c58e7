"""Changes of several ticked roles of a project: previewed, then carried out together; and the members as CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.projects import roster
from aizen_hub.accounts.projects.roster import MemberSort, RosterFilter
from aizen_hub.accounts.roles import bulk_grants
from aizen_hub.accounts.roles.revocation_preview import RevocationPreview, preview_revocation
from aizen_hub.problems import BadInput, Conflict, Escalation, LastHolder
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form, Ticked, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.assignment_undo import offer_restoration
from aizen_hub.service.panel.csv_file import csv_response, to_csv
from aizen_hub.service.panel.fields.until import GrantFields, presets
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.projects.member_changes import get_assignment
from aizen_hub.service.panel.projects.project_head import require_readable
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_REMOVE, _EXTEND = "remove", "extend"
_MAX_ROWS = 100_000


class MemberSelectionForm(Form, GrantFields):
    """The ticked rows; the same fields carry the change out."""

    a: Ticked = ()
    action: Typed = ""


async def show_selection(ctx: RequestContext) -> RawResponse:
    return await _render(ctx)


async def _render(ctx: RequestContext, errors: FormErrors = NO_ERRORS, status: int = 200) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    def read(viewer: Viewer) -> dict[str, Any]:
        project = require_readable(viewer, name)
        rows = [get_assignment(viewer.tx, name, number) for number in body.a]
        removes = body.action == _REMOVE
        return {
            "project": project,
            "rows": rows,
            "removes": removes,
            "previews": _preview_revocations(viewer.tx, name, rows) if removes else {},
            "form": body,
            "presets": presets(viewer.tx.now),
        }

    return await show_page(ctx, "projects/selected.html", read, errors=errors, status=status)


def _preview_revocations(tx: ReadTransaction, project: str, rows: Sequence[Any]) -> dict[str, RevocationPreview]:
    """Return what each holder loses when all of these roles are taken away, by the holder."""
    ids = defaultdict(list)
    for row in rows:
        ids[row.identity].append(row.id)
    return {
        identity: preview_revocation(tx, first, project, Identity.parse(identity), besides=others)
        for identity, (first, *others) in ids.items()
    }


async def change_selection(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        if body.action not in (_REMOVE, _EXTEND) or not body.a:
            raise BadInput("no role is selected", remedy="tick rows on the page of the project")

        def operation(tx: WriteTransaction) -> tuple[str, str | None]:
            Viewer(tx).require_project(name)
            rows = [get_assignment(tx, name, number) for number in body.a]
            try:
                if body.action == _REMOVE:
                    held = [(row.role, name, Identity.parse(row.identity)) for row in rows]
                    result = bulk_grants.revoke_from_all(tx, held, reason=body.reason.strip())
                    former, text = result.data["former"], "taken away"
                else:
                    ends = body.read_end(tx.now)
                    former, text = [], "changed"
                    for row in rows:
                        result = bulk_grants.grant_to_all(
                            tx,
                            row.role,
                            name,
                            [Identity.parse(row.identity)],
                            interval=Interval(row.starts, ends),
                            reason=body.reason.strip() or row.reason,
                        )
                        former += result.data["former"]
            except (Conflict, Escalation, LastHolder) as error:
                raise BadInput(error.detail, remedy=None if error.remedy is None else str(error.remedy)) from None
            number = len(former)
            label = f"changed {number} roles in {name}"
            sentence = f"{number} {'role was' if number == 1 else 'roles were'} {text} in {name}."
            return sentence, offer_restoration(tx, label, former)

        text, undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name), Toast(text, undo_id))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, errors, 422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def download_members(ctx: RequestContext) -> RawResponse:
    """Return all members of a project as CSV."""
    name = ctx.path_params["project"]

    def operation(tx: Any) -> str:
        require_readable(Viewer(tx), name)
        members = roster.roster_of(tx, name, RosterFilter())
        order = roster.sort_columns(tx, members, MemberSort.ACCOUNT)
        rows = tx.conn.execute(select(members).order_by(*order).limit(_MAX_ROWS + 1)).all()
        if len(rows) > _MAX_ROWS:
            raise BadInput(f"the project has more than {_MAX_ROWS:,} roles, too many for one file")
        header = ["account", "role", "source", "from", "until", "granted by", "granted", "reason"]
        return to_csv(header, map(_csv_row, rows))

    text = await ctx.authorized_read(
        operation,
        audit_details=lambda _: {"project": name, "details": {"query": "members-file"}},
        pool=ctx.service.pools.queries,
    )
    return csv_response(text, f"{name}-members.csv")


def _csv_row(row: Any) -> list[str]:
    source = "direct" if row.account == row.identity else row.identity
    times = ["" if time is None else time.isoformat() for time in (row.starts, row.ends)]
    return [row.account, row.role, source, *times, row.granted_by, row.granted.isoformat(), row.reason]


ROUTES = (
    form_route("/projects/{project}/members/-/selected", show_selection, "What was ticked.", MemberSelectionForm),
    form_route(
        "/projects/{project}/members/-/change", change_selection, "Change what was ticked.", MemberSelectionForm
    ),
    page_route("/projects/{project}/members/-/csv", download_members, "The members of a project as CSV."),
)
