"""Page *My requests*: every request of the viewer with its state, and withdrawing one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.roles import access_requests, assignments
from aizen_hub.api_models.schema import Name
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import PageQuery, Sort, read_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables

_p = tables.pending_changes


class WithdrawalForm(Form):
    request: Name


async def show_own_requests(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        of_viewer = select(_p).where(
            _p.c.kind == pending_changes.ACCESS_REQUEST, _p.c.requested_by == str(viewer.identity)
        )
        newest_first = query.model_copy(update={"sort": query.sort or "-sent"})
        page = read_page(viewer.tx, of_viewer, [Sort("sent", (_p.c.requested, _p.c.id))], newest_first)
        return {
            "page": page,
            "asked_until": {row.id: assignments.parse_time(row.payload["until"]) for row in page.rows},
        }

    return await show_page(ctx, "mine/requests.html", read)


async def withdraw_request(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: access_requests.withdraw_request(tx, ctx.body.request))
    return see_other(ctx, "me/requests", "Your request was withdrawn.")


ROUTES = (
    page_route("/me/requests", show_own_requests, "My requests.", PageQuery),
    form_route("/me/withdraw", withdraw_request, "Withdraw a request, from the page.", WithdrawalForm),
)
