"""Pages of the panel as routes: reading what a page shows in one transaction, and making the change of a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import Denied, NotFound, Problem
from aizen_hub.service.auth.request_forgery import is_htmx
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import ANY_REGISTERED, AuthMethod, Handler, JsonResponse, RawResponse, Route
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.lookup import alike_pages
from aizen_hub.service.panel.rendering import common_variables, problem_variables, render, shell_variables
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.runtime.thread_pools import Pool
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

if TYPE_CHECKING:
    from aizen_hub.service.pipeline.request_context import RequestContext

T = TypeVar("T")
Read = Callable[[Viewer], Mapping[str, Any]]

IN_BROWSER = frozenset({AuthMethod.BROWSER})
MAX_FORM = 64 << 10


def page_route(path: str, handler: Handler, summary: str, query: type[Schema] | None = None) -> Route:
    """Return the route of a page."""
    return Route(
        "GET",
        path,
        IN_BROWSER,
        ANY_REGISTERED,
        handler,
        summary,
        query=query,
        media_type=HTML,
        browser_page=True,
    )


def form_route(
    path: str,
    handler: Handler,
    summary: str,
    body: type[Form],
    *,
    own_deadline: bool = False,
    max_body: int = MAX_FORM,
) -> Route:
    """Return the route of a form that a page of the panel sends."""
    return Route(
        "POST",
        path,
        IN_BROWSER,
        ANY_REGISTERED,
        handler,
        summary,
        body=body,
        form=True,
        media_type=HTML,
        browser_page=True,
        own_deadline=own_deadline,
        max_body=max_body,
    )


async def show_page(
    ctx: RequestContext,
    template: str,
    read: Read | None = None,
    *,
    fragment: str | None = None,
    status: int = HTTPStatus.OK,
    audit_details: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] | None = None,
    event: str = "access.read",
    pool: Pool | None = None,
    **variables: Any,
) -> RawResponse:
    """Read what a page shows, in one read transaction, and render it.

    Parameters
    ----------
    template : str
        Below ``templates/``.
    read : callable, optional
        Receives the `Viewer`, with its transaction as ``viewer.tx``; returns variables of the template.
    fragment : str, optional
        The block of the template that alone is sent to htmx; a browser that opens the address receives the whole page.
    audit_details : callable, optional
        What to record of the reading, for pages about other users; receives what ``read`` returned, and returns the
        fields of the record, or None.
    event : str
        The audit event of that record.
    pool : Pool, optional
        Where it reads; ``ctx.service.pools.queries`` for what may take long.
    **variables
        Of the template, besides those that ``read`` returns.

    Raises
    ------
    Denied, NotFound
    """
    part = fragment if fragment is not None and is_htmx(ctx.headers) else None

    def operation(tx: ActorTransaction) -> dict[str, Any]:
        viewer = Viewer(tx)
        try:
            values = dict(read(viewer)) if read is not None else {}
        except NotFound as problem:
            problem.extensions.setdefault("alike", alike_pages(viewer, ctx.route.path, ctx.path_params))
            raise
        shell = {} if part is not None else shell_variables(viewer)
        return {**common_variables(ctx, viewer), **shell, **values}

    try:
        values = await ctx.authorized_read(operation, audit_details=audit_details, event=event, pool=pool)
    except (Denied, NotFound) as problem:
        if is_htmx(ctx.headers):
            raise
        return await _show_problem(ctx, problem)
    return render(ctx, template, {**values, **variables}, fragment=part, status=status)


async def _show_problem(ctx: RequestContext, problem: Problem) -> RawResponse:
    """Render a problem of a page within the frame of the other pages, so that the user can go on from there."""

    def operation(tx: ActorTransaction) -> dict[str, Any]:
        viewer = Viewer(tx)
        return {**common_variables(ctx, viewer), **shell_variables(viewer)}

    shell = await ctx.authorized_read(operation)
    parts = [ctx.path_params.get(part[1:-1], part) for part in ctx.route.path.removeprefix("/").split("/")]
    page = page_path(*(parts if ctx.route.method == "GET" else parts[:-1]))
    return render(ctx, "problem.html", {**shell, **problem_variables(problem, page)}, status=problem.status)


async def authorized_value(ctx: RequestContext, operation: Callable[[WriteTransaction], T]) -> T:
    """Run a function in one write transaction with the decision of its route; returns its result."""
    value: T = (await ctx.authorized_write(lambda tx, _: JsonResponse(operation(tx)))).value
    return value
