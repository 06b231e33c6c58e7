"""Page *Audit*: a timeline of sentences, of one project or of everything, with filters in the address, and export."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.api_models.schema import Schema
from aizen_hub.audit.archive.manifest import archived_until
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.differences import find_differences
from aizen_hub.audit.event_texts import EventKind
from aizen_hub.audit.export import COLUMNS, csv_cell
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.audit.timeline import RoutineStretch, TimelineEvent, describe, extend_timeline, group_by_day
from aizen_hub.audit.timeline_search import TimelineCursor, TimelineQuery, read_timeline
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText
from aizen_hub.service.panel.projects import project_head
from aizen_hub.service.panel.rendering import HEADERS
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction

EVENT = "audit.read"
PAGE = 60
_ENOUGH, _MAX_READS = 10, 5
"""A page on which routine hides everything else reads on, until it has so many events, or so often."""
_MAX_WINDOWS = 3
"""Reads of a page that may end at their bound on rows, where few match."""
MAX_EXPORTED = 20_000
"""Rows of one file; for more, the filter has to be narrower, or the operator exports the audit."""
MAX_PAGES = 100
"""Pages that are read for one file: where few rows match, each of them reads 10,000."""
_KINDS = {
    "change": EventKind.CHANGE,
    "refusal": EventKind.REFUSAL,
    "request": EventKind.REQUEST,
    "sign-in": EventKind.SIGN_IN,
    "session": EventKind.SESSION,
    "system": EventKind.SYSTEM,
    "routine": EventKind.ROUTINE,
}
_PERIODS = {"today": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "all": None}
_Kind = Annotated[
    Literal["change", "refusal", "request", "sign-in", "session", "system", "routine"] | None, EMPTY_IS_NONE
]


class TimelineFilters(Schema):
    """The filters of the timeline of one project."""

    q: OptionalText = None
    who: OptionalText = None
    what: _Kind = None
    when: Annotated[Literal["today", "7d", "30d", "all"] | None, EMPTY_IS_NONE] = None
    first: OptionalText = Field(default=None, alias="from")
    last: OptionalText = Field(default=None, alias="to")
    id: OptionalText = None
    after: OptionalText = None

    @property
    def filters(self) -> dict[str, Any]:
        """What the links of the page keep."""
        values = self.model_dump(exclude={"after", "id"}, by_alias=True)
        return {name: value for name, value in values.items() if value is not None}


class AuditPageQuery(TimelineFilters):
    """The filters of the whole timeline."""

    project: OptionalText = None


async def show_audit(ctx: RequestContext) -> RawResponse:
    query: AuditPageQuery = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        projects = readable_projects(viewer)
        if query.id is not None:
            return _read_record(ctx, viewer, projects, query)
        return _read_timeline(ctx, viewer, query, projects, query.project)

    return await show_page(
        ctx,
        "decisions/audit.html",
        read,
        fragment="results",
        audit_details=_audit_details,
        event=EVENT,
        pool=ctx.service.pools.queries,
    )


async def show_project_audit(ctx: RequestContext) -> RawResponse:
    query: TimelineFilters = ctx.query
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        project = project_head.require_readable(viewer, name)
        if not viewer.may("audit", project.name):
            raise not_in_panel()
        values = _read_timeline(ctx, viewer, query, frozenset({project.name}), project.name)
        return {**project_head.read_head(viewer, project, "audit"), **values}

    return await show_page(
        ctx,
        "decisions/project_audit.html",
        read,
        fragment="results",
        audit_details=_audit_details,
        event=EVENT,
        pool=ctx.service.pools.queries,
    )


async def export_audit(ctx: RequestContext) -> RawResponse:
    """Return everything that the filters match as a CSV file; a file that would be cut is refused."""
    query: AuditPageQuery = ctx.query

    def read(tx: ActorTransaction) -> tuple[str, int]:
        viewer = Viewer(tx)
        timeline = _timeline_query(viewer, query, readable_projects(viewer), query.project)
        records: list[dict[str, Any]] = []
        cursor: TimelineCursor | None = None
        pages = 0
        while True:
            page, pages = read_timeline(tx.conn, timeline, cursor, limit=1_000), pages + 1
            records += page.records
            if page.next is not None and pages >= MAX_PAGES:
                raise BadInput(
                    "too many rows would have to be read for this file",
                    remedy="choose fewer days or a project; or ask the operator",
                )
            if len(records) > MAX_EXPORTED:
                raise BadInput(
                    f"more than {MAX_EXPORTED:,} rows match",
                    remedy="choose fewer days, a project or a person; or ask the operator",
                )
            cursor = page.next
            if cursor is None:
                # Written here, in the thread of the pool: many rows would hold up the event loop.
                return _to_csv(records), len(records)

    text, _ = await ctx.authorized_read(
        read,
        audit_details=lambda result: {"project": query.project, "details": {"rows": result[1], "format": "csv"}},
        event="audit.exported",
        pool=ctx.service.pools.queries,
    )
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="audit.csv"'}
    return RawResponse(text.encode(), "text/csv; charset=utf-8", headers)


def readable_projects(viewer: Viewer) -> frozenset[str] | None:
    """Return the projects whose audit the viewer may read; None: everything. Without any there is no such page."""
    if viewer.may("audit"):
        return None
    projects = frozenset(name for name in viewer.managed_projects if viewer.may("audit", name))
    if not projects:
        raise not_in_panel()
    return projects


def _audit_details(values: Mapping[str, Any]) -> dict[str, Any]:
    query: TimelineFilters = values["query"]
    details = {"event": query.what, "of": query.who, "id": query.id}
    given = {name: value for name, value in details.items() if value is not None}
    return {"project": values["recorded_project"], "details": given}


def _read_timeline(
    ctx: RequestContext,
    viewer: Viewer,
    query: TimelineFilters,
    projects: frozenset[str] | None,
    project: str | None,
) -> dict[str, Any]:
    timeline = _timeline_query(viewer, query, projects, project)
    items: list[TimelineEvent | RoutineStretch] = []
    cursor = _cursor(query.after)
    count = windows = 0
    for _ in range(_MAX_READS):
        page = read_timeline(viewer.tx.conn, timeline, cursor, limit=PAGE)
        extend_timeline(items, page.records, fold=query.what is not EventKind.ROUTINE.value)
        count += len(page.records)
        windows += not page.is_complete
        cursor = page.next
        has_enough = sum(isinstance(item, TimelineEvent) for item in items) >= _ENOUGH
        if cursor is None or has_enough or windows == _MAX_WINDOWS:
            break
    return {
        **_common(ctx, viewer, query, projects),
        "days": group_by_day(items),
        "count": count,
        "next": None if page.next is None else page.next.encode(),
        "is_complete": page.is_complete,
        "examined_until": page.examined_until,
        "record": None,
        "recorded_project": project,
    }


def _read_record(
    ctx: RequestContext, viewer: Viewer, projects: frozenset[str] | None, query: TimelineFilters
) -> dict[str, Any]:
    records = search_newest(viewer.tx.conn, AuditFilter(id=query.id, projects=projects), 1)
    if not records:
        raise NotFound("there is no such event for you", remedy="open the audit from its beginning")
    record = records[0]
    return {
        **_common(ctx, viewer, query, projects),
        "days": [],
        "count": 1,
        "next": None,
        "is_complete": True,
        "examined_until": None,
        "record": record,
        "event": describe(record),
        "fields": _fields(record),
        "differences": find_differences(record),
        "recorded_project": record.get("project"),
    }


def _common(
    ctx: RequestContext, viewer: Viewer, query: TimelineFilters, projects: frozenset[str] | None
) -> dict[str, Any]:
    health = ctx.service.checkpoint_health
    return {
        "query": query,
        "kinds": [(name, name.replace("-", " ").capitalize()) for name in _KINDS],
        "projects": sorted(viewer.managed_projects if projects is None else projects)[:50],
        "sees_everything": projects is None,
        "rows": sum(head.number for head in chain_heads(viewer.tx.conn).values()) if projects is None else None,
        "checkpoint_age": health.age,
        "checkpoint_failing": health.failing,
        "archived_until": archived_until(viewer.tx.conn),
    }


def _timeline_query(
    viewer: Viewer, query: TimelineFilters, projects: frozenset[str] | None, project: str | None
) -> TimelineQuery:
    if project is not None and projects is not None and project not in projects:
        raise not_in_panel()
    since, until = _period(viewer.tx, query)
    row_filter = AuditFilter(project=project, since=since, until=until, projects=projects)
    kind = None if query.what is None else _KINDS[query.what]
    return TimelineQuery(row_filter, _about(query.who), kind, query.q or "")


def _period(tx: ActorTransaction, query: TimelineFilters) -> tuple[datetime | None, datetime | None]:
    if query.first is not None or query.last is not None:
        last = _day(query.last)
        return _day(query.first), None if last is None else last + timedelta(days=1)
    length = _PERIODS[query.when or "7d"]
    return (None if length is None else tx.now - length), None


def _day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        _ = day + timedelta(days=1)  # the end of the day has to be a time too
        return day
    except (ValueError, OverflowError):
        raise BadInput("this is not a day", remedy="write it as 2027-01-31") from None


def _about(text: str | None) -> str | None:
    if text is None:
        return None
    kind_text, has_kind, name = text.partition(":")
    kind = IdentityKind(kind_text) if has_kind and kind_text in set(IdentityKind) else IdentityKind.USER
    canonical = normalization.canonical_or_none(name if has_kind else text, NameKind(kind.value))
    # A name that none can have matches no row.
    return str(Identity(kind, canonical)) if canonical is not None else "user:"


def _cursor(text: str | None) -> TimelineCursor | None:
    if text is None:
        return None
    try:
        return TimelineCursor.parse(text)
    except ValueError:
        raise BadInput("the page link is not valid", remedy="open the audit from its beginning") from None


def _fields(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    details = record.get("details")
    own = [(name, csv_cell(record[name], name)) for name in COLUMNS if name in record and name != "details"]
    more = details if isinstance(details, Mapping) else {}
    return own + [(name.replace("_", " "), csv_cell(value)) for name, value in sorted(more.items())]


def _to_csv(records: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("sentence in words", *COLUMNS))
    for record in records:
        writer.writerow((csv_cell(describe(record).text), *(csv_cell(record.get(name), name) for name in COLUMNS)))
    return out.getvalue()


ROUTES = (
    page_route("/audit", show_audit, "The audit as a timeline.", AuditPageQuery),
    page_route(
        "/audit/-/export", export_audit, "The audit as a CSV file, with the filters of the page.", AuditPageQuery
    ),
    page_route("/projects/{project}/audit", show_project_audit, "The audit of one project.", TimelineFilters),
)
