"""The difference of a project's roles between two days, read from the audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aizen_hub.accounts.projects import access_history, membership_history
from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import BadInput
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.projects.project_head import read_head, require_readable
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

_USUAL = timedelta(days=30)


class ProjectHistoryQuery(Schema):
    since: OptionalText = None
    until: OptionalText = None


async def show_changes(ctx: RequestContext) -> RawResponse:
    name, query = ctx.path_params["project"], ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, project = viewer.tx, require_readable(viewer, name)
        since, until = f"{tx.now - _USUAL:%Y-%m-%d}", f"{tx.now:%Y-%m-%d}"
        since, until = query.since or since, query.until or until
        problem, changes, memberships = None, [], []
        try:
            # From the beginning of the first day to the end of the second.
            first, last = _day(since), _day(until) + timedelta(days=1)
            changes = access_history.role_changes(tx, name, first, last)
            memberships = membership_history.membership_changes(tx, name, first, last)
        except BadInput as error:
            problem = error
        return {
            **read_head(viewer, project, "matrix"),
            "since": since,
            "until": until,
            "changes": changes,
            "memberships": memberships,
            "labels": {item.name: item.label or item.name for item in tx.settings.providers},
            "problem": problem,
        }

    return await show_page(
        ctx,
        "projects/matrix_changes.html",
        read,
        audit_details=lambda _: {"project": name, "details": {"query": "role-changes"}},
        pool=ctx.service.pools.queries,
    )


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        _ = day + timedelta(days=1)  # the end of the day has to be a time too
        return day
    except (ValueError, OverflowError):
        raise BadInput(f"`{text}` is not a day such as 2026-12-31") from None


ROUTES = (
    page_route(
        "/projects/{project}/matrix/-/changes", show_changes, "What changed between two days.", ProjectHistoryQuery
    ),
)
