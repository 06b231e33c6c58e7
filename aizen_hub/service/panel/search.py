"""Search over everything that a viewer may see, and suggestions for fields of names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import BadInput
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel import lookup
from aizen_hub.service.panel.lookup import Kind
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText, Text
from aizen_hub.service.panel.rendering import HEADERS, render_template, see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

_SHOWN = 5
_SHOWN_OF_ONE_KIND = 50
_SUGGESTED = 8
_IDENTITY_KINDS = {"user": Kind.PERSON, "group": Kind.GROUP, "service-account": Kind.SERVICE_ACCOUNT}
_KINDS = {**_IDENTITY_KINDS, "project": Kind.PROJECT, "role": Kind.ROLE}
_PREFIXES = {Kind.GROUP: "group:", Kind.SERVICE_ACCOUNT: "service-account:"}
_LABELS = {
    Kind.PERSON: "People",
    Kind.PROJECT: "Projects",
    Kind.GROUP: "Groups",
    Kind.ROLE: "Roles",
    Kind.SERVICE_ACCOUNT: "Service accounts",
}
NOUNS = {
    Kind.PERSON: ("person", "people"),
    Kind.PROJECT: ("project", "projects"),
    Kind.GROUP: ("group", "groups"),
    Kind.ROLE: ("role", "roles"),
    Kind.SERVICE_ACCOUNT: ("service account", "service accounts"),
}


class SearchQuery(Schema):
    q: OptionalText = None
    kind: Annotated[Kind | None, EMPTY_IS_NONE] = None
    as_typed: Annotated[bool, BeforeValidator(lambda value: value == "1")] = False


class SuggestQuery(Schema):
    q: Text
    kinds: Annotated[str, Field(max_length=100)] = "user"


async def search(ctx: RequestContext) -> RawResponse:
    """Show what is found; exactly one name leads straight to its page."""
    text, only = ctx.query.q or "", ctx.query.kind

    def read(viewer: Viewer) -> dict[str, Any]:
        limit = _SHOWN if only is None else _SHOWN_OF_ONE_KIND
        found = lookup.find_matches(viewer, text, _LABELS if only is None else (only,), limit)
        return {
            "found": [matches for matches in found if matches.total],
            "exact": lookup.exact_match(found, text),
            "question": lookup.parse_question(viewer, text),
            "text": text,
            "only": only,
            "labels": _LABELS,
            "nouns": NOUNS,
            "lists_shown": viewer.is_manager,
        }

    if text and only is None and not ctx.query.as_typed:
        exact = await ctx.authorized_read(lambda tx: read(Viewer(tx))["exact"], pool=ctx.service.pools.queries)
        if exact is not None:
            return see_other(ctx, exact.page)
    return await show_page(ctx, "search.html", read, fragment="results", pool=ctx.service.pools.queries)


async def suggest(ctx: RequestContext) -> RawResponse:
    """Return suggestions for a field of names, as options of a list; only names that the viewer may see."""
    kinds = [_KINDS.get(name) for name in ctx.query.kinds.split(",")]
    if None in kinds:
        raise BadInput("there is no such kind of names")

    def read(viewer: Viewer) -> list[tuple[str, str]]:
        found = lookup.find_matches(viewer, ctx.query.q, [kind for kind in kinds if kind], _SUGGESTED)
        rows = [row for matches in found for row in matches.rows]
        return [(f"{_PREFIXES.get(row.kind, '')}{row.name}", row.text or row.name) for row in rows]

    options = await ctx.authorized_read(lambda tx: read(Viewer(tx)))
    text = render_template("suggestions.html", {"options": options}, ctx.service.prefix)
    return RawResponse(text.encode(), HTML, HEADERS)


ROUTES = (
    page_route("/search", search, "Search.", SearchQuery),
    page_route("/suggest", suggest, "Suggestions for a field of names.", SuggestQuery),
)
