"""Pages *Review access*: the roles given in a project or in the system with their use, decisions, carrying them out."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.reviews import carrying_out, choices, lifecycle, rows
from aizen_hub.accounts.reviews.choices import DEFAULT_END, FillRule, NewChoice
from aizen_hub.accounts.reviews.lifecycle import AccessReview
from aizen_hub.accounts.reviews.rows import Choice, ReviewAuthority, ReviewRow, RowFilter
from aizen_hub.api_models.schema import Note, Schema
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, Problem
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.http.form import EmptyForm, Form, LastDay, Ticked
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText
from aizen_hub.service.panel.projects import project_head
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

PAGE = 25
_SYSTEM_PAGE = "system/review"
_FILTERS = {
    RowFilter.ALL: "All",
    RowFilter.UNDECIDED: "Not decided",
    RowFilter.DECIDED: "Decided",
    RowFilter.NEVER_USED: "Never used",
    RowFilter.UNUSED_LONG: "Not used for 90 days",
    RowFilter.USED_RECENTLY: "Used in the last 30 days",
    RowFilter.ENDLESS: "Without an end",
    RowFilter.GROUPS: "Groups",
}
_RULES = {
    FillRule.KEEP_USED: "Keep what is in use",
    FillRule.REMOVE_UNUSED: "Take away the never used",
    FillRule.SHORTEN_ENDLESS: "Set missing ends",
}
_DECISION = re.compile(r"([0-9]{1,18})=(keep|shorten|remove|open)")


class ReviewPageQuery(Schema):
    """The filters of the rows."""

    q: OptionalText = None
    show: Annotated[RowFilter | None, EMPTY_IS_NONE] = None
    role: OptionalText = None
    after: OptionalText = None

    @property
    def filters(self) -> dict[str, Any]:
        values = self.model_dump(exclude={"after"}, mode="json")
        return {name: value for name, value in values.items() if value is not None}


class ReviewStartForm(Form):
    deadline: LastDay = None
    note: Note = ""


class ReviewChoicesForm(Form):
    """One decision a line, ``assignment=choice``, as the selects of the page have them."""

    d: Ticked = ()
    back: Annotated[str, Field(max_length=1000)] = ""


class ReviewFillForm(Form):
    rule: Literal["keep-used", "remove-unused", "shorten-endless"]


class ReviewUndoForm(Form):
    assignment: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""


async def show_project_reviews(ctx: RequestContext) -> RawResponse:
    """Lead to the open review of a project, or show how to start one, and the earlier ones."""
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        project = project_head.require_readable(viewer, name)
        listed = lifecycle.list_reviews(viewer.tx, project.name)
        start_page = page_path("projects", project.name, "review")
        return {**project_head.read_head(viewer, project, "review"), "reviews": listed, "start_page": start_page}

    return await show_page(ctx, "decisions/reviews.html", read)


async def show_system_reviews(ctx: RequestContext) -> RawResponse:
    """Show the same of the roles in the whole system."""

    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may("access"):
            raise not_in_panel()
        return {"project": None, "reviews": lifecycle.list_reviews(viewer.tx, SYSTEM), "start_page": _SYSTEM_PAGE}

    return await show_page(ctx, "decisions/reviews.html", read)


async def start_review(ctx: RequestContext) -> RawResponse:
    scope, body = ctx.path_params.get("project", SYSTEM), ctx.body
    review: AccessReview = await authorized_value(
        ctx, lambda tx: lifecycle.start_review(tx, scope, deadline=body.deadline, note=body.note)
    )
    return see_other(ctx, page_path("reviews", review.id), "The review was started; the other admins are told.")


async def show_review(ctx: RequestContext) -> RawResponse:
    query: ReviewPageQuery = ctx.query
    review_id = ctx.path_params["review"]

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        review = lifecycle.get_review(tx, review_id)
        if not review.is_open:
            return {"review": review, "carried_out": carrying_out.list_carried_out(tx, review_id)}
        show = query.show or RowFilter.ALL
        after = _place(query.after)
        found = rows.list_rows(tx, review, show, text=query.q or "", role=query.role, after=after, limit=PAGE + 1)
        authority = ReviewAuthority(tx, review)
        shown = found[:PAGE]
        return {
            "review": review,
            "query": query,
            "rows": [(row, authority.why_not(row)) for row in shown],
            "total": rows.count_rows(tx, review, show, text=query.q or "", role=query.role),
            "next": f"{shown[-1].identity}~{shown[-1].role}" if len(found) > PAGE else None,
            "planned": _planned(tx, review),
            "carried_out": carrying_out.list_carried_out(tx, review_id),
            "filters": [(str(name), label) for name, label in _FILTERS.items()],
            "rules": [(str(name), label) for name, label in _RULES.items()],
            "roles": [(name, name) for name in rows.roles_in(tx, review)],
            "shorten_to": tx.now + DEFAULT_END,
            "never_used_before": tx.now - rows.NEVER_USED_AFTER,
        }

    def audit_details(values: Any) -> dict[str, Any]:
        return {"project": project_of(values["review"].scope), "details": {"query": "review"}}

    return await show_page(ctx, "decisions/review.html", read, fragment="results", audit_details=audit_details)


def _planned(tx: Any, review: AccessReview) -> list[ReviewRow]:
    """Return the first rows that will change."""
    decided = rows.list_rows(tx, review, RowFilter.DECIDED, limit=500)
    return [row for row in decided if row.choice is not Choice.KEEP and row.carried_out is None]


async def decide(ctx: RequestContext) -> RawResponse:
    review_id, body = ctx.path_params["review"], ctx.body

    def operation(tx: WriteTransaction) -> AccessReview:
        review = lifecycle.get_review(tx, review_id)
        chosen: list[NewChoice] = []
        for text in body.d:
            match = _DECISION.fullmatch(text)
            if match is None:
                raise BadInput("this is not a decision of the page", remedy="reload it")
            choice = None if match[2] == "open" else Choice(match[2])
            row = rows.find_row(tx, review, int(match[1]))
            if row is not None and row.choice is not choice:
                until = _shortened_end(row, tx.now + DEFAULT_END) if choice is Choice.SHORTEN else None
                chosen.append(NewChoice(row.assignment_id, choice, until))
        return choices.decide(tx, review_id, chosen) if chosen else review

    review = await authorized_value(ctx, operation)
    page = page_path("reviews", review_id)
    return see_other(ctx, f"{page}?{body.back}" if body.back else page, f"{review.decided} of {review.total} decided.")


def _shortened_end(row: ReviewRow, end: datetime) -> datetime:
    """Return the proposed end; halfway where the present one is earlier than that."""
    if row.ends is None or end < row.ends:
        return end
    return row.ends - (row.ends - max(row.granted, row.starts or row.granted)) / 2


async def fill_in(ctx: RequestContext) -> RawResponse:
    review_id, rule = ctx.path_params["review"], FillRule(ctx.body.rule)
    _, filled = await authorized_value(ctx, lambda tx: choices.fill_in(tx, review_id, rule))
    return see_other(
        ctx, page_path("reviews", review_id), f"{filled} decisions were filled in. Nothing is changed yet."
    )


async def preview(ctx: RequestContext) -> RawResponse:
    """Show who would lose what, before anything is carried out."""
    review_id = ctx.path_params["review"]
    review: AccessReview = await ctx.authorized_read(lambda tx: lifecycle.get_review(tx, review_id))
    service, effect, denial = ctx.service, None, None
    try:
        effect = await service.pools.queries.run(
            lambda: dry_run(service.store, ctx.actor, lambda tx: carrying_out.carry_out(tx, review_id))
        )
    except Problem as problem:
        denial = problem
    return await show_page(ctx, "decisions/review_preview.html", review=review, effect=effect, denial=denial)


async def carry_out(ctx: RequestContext) -> RawResponse:
    review_id = ctx.path_params["review"]
    result: Result = await authorized_value(ctx, lambda tx: carrying_out.carry_out(tx, review_id))
    return see_other(ctx, page_path("reviews", review_id), f"Carried out: {result.message}. It can be undone here.")


async def undo(ctx: RequestContext) -> RawResponse:
    review_id, body = ctx.path_params["review"], ctx.body
    ids = [int(body.assignment)] if body.assignment else None
    result: Result = await authorized_value(ctx, lambda tx: carrying_out.undo(tx, review_id, ids))
    return see_other(ctx, page_path("reviews", review_id), f"Undone: {len(result.rows)} changes.")


async def finish(ctx: RequestContext) -> RawResponse:
    review_id = ctx.path_params["review"]
    await authorized_value(ctx, lambda tx: lifecycle.finish_review(tx, review_id))
    return see_other(ctx, page_path("reviews", review_id), "The review is finished; what was not decided stays.")


def _place(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    identity, tilde, role = text.rpartition("~")
    if not tilde:
        raise BadInput("the address does not name a page of this list", remedy="open the list from its beginning")
    return identity, role


ROUTES = (
    page_route("/projects/{project}/review", show_project_reviews, "The reviews of access of a project."),
    form_route("/projects/{project}/review", start_review, "Start a review of access.", ReviewStartForm),
    page_route(f"/{_SYSTEM_PAGE}", show_system_reviews, "The reviews of access in the whole system."),
    form_route(f"/{_SYSTEM_PAGE}", start_review, "Start a review of access in the whole system.", ReviewStartForm),
    page_route("/reviews/{review}", show_review, "One review of access.", ReviewPageQuery),
    form_route("/reviews/{review}/decide", decide, "Save decisions of a review.", ReviewChoicesForm),
    form_route("/reviews/{review}/fill", fill_in, "Fill in decisions by a rule.", ReviewFillForm),
    page_route("/reviews/{review}/preview", preview, "What carrying out a review would change."),
    form_route("/reviews/{review}/carry-out", carry_out, "Carry out the decisions of a review.", EmptyForm),
    form_route("/reviews/{review}/undo", undo, "Undo what a review changed.", ReviewUndoForm),
    form_route("/reviews/{review}/finish", finish, "Finish a review.", EmptyForm),
)
