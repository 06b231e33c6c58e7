"""Rendering of the panel's pages: templates, whole pages and fragments, redirects, and pages that show a problem."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp.web import BaseRequest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.service.auth.request_forgery import HTMX_REQUEST, SERVICE_WORKER, is_htmx
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.problem_response import MethodNotAllowed
from aizen_hub.service.http.request_parsing import raw_path, raw_query
from aizen_hub.service.http.route import AuthMethod, RawResponse, Route
from aizen_hub.service.panel import formatting
from aizen_hub.service.panel.documentation_folder import has_documentation
from aizen_hub.service.panel.form_errors import NO_ERRORS
from aizen_hub.service.panel.navigation import current_page, help_page, navigation, pending_counts
from aizen_hub.service.panel.toasts import Toast, read_toast, toast_cookie
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.wording import Interface

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext
    from aizen_hub.service.pipeline.request_context import RequestContext

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Vary": HTMX_REQUEST,
}
TEMPLATES = Path(__file__).parent / "templates"
COMPONENTS = "components.html"


@cache
def environment(prefix: str) -> Environment:
    """Return the templates' environment; ``ui`` has the components, ``url`` makes addresses of pages."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    templates.filters |= formatting.FILTERS
    templates.globals |= {"prefix": prefix, "url": formatting.make_url(prefix), "no_errors": NO_ERRORS}
    templates.globals["has_documentation"] = has_documentation
    templates.globals["ui"] = templates.get_template(COMPONENTS).module
    return templates


def render_template(template: str, variables: Mapping[str, Any], prefix: str, fragment: str | None = None) -> str:
    """Return a page, or one block of it; a template that reads a variable which it was not given raises an error."""
    page = environment(prefix).get_template(template)
    if fragment is None:
        return page.render(variables)
    return "".join(page.blocks[fragment](page.new_context(dict(variables))))


def shell_variables(viewer: Viewer) -> dict[str, Any]:
    """Return what the frame of every page shows, read in the transaction of the page."""
    return {"navigation": navigation(viewer), "waiting": pending_counts(viewer)}


NO_SHELL: Mapping[str, Any] = {"navigation": (), "waiting": {}}


def common_variables(ctx: RequestContext, viewer: Viewer) -> dict[str, Any]:
    """Return the variables that every template may read."""
    return {
        "hub": ctx.service.browser_login.hub_location.address,
        "me": ctx.identity.name,
        "xsrf": ctx.principal.xsrf,
        "here": current_page(ctx.route.path),
        "help_page": help_page(ctx.route.path),
        "now": viewer.tx.now,
        "known_roles": viewer.tx.roles,
        "recent_login_until": ctx.actor.recent_login_until,
        "errors": NO_ERRORS,
    }


def render(
    ctx: RequestContext,
    template: str,
    variables: Mapping[str, Any],
    *,
    fragment: str | None = None,
    status: int = HTTPStatus.OK,
) -> RawResponse:
    """Render a page, or the fragment of it, with all the variables of `common_variables` and `shell_variables`."""
    for value in variables.values():
        if isinstance(value, Problem):
            value.word_for(Interface.WEB, ctx.service.catalog.command_with_handler)
    toast, cookies = (None, ()) if fragment else read_toast(ctx)
    text = render_template(template, {**variables, "toast": toast}, ctx.service.prefix, fragment)
    return RawResponse(text.encode(), HTML, HEADERS, status, cookies)


def see_other(ctx: RequestContext, page: str, toast: Toast | str | None = None) -> RawResponse:
    """Redirect the browser to a page of the panel (303), which shows what was done.

    Parameters
    ----------
    page : str
        Below the prefix, as `formatting.page_path` makes it.
    """
    location = ctx.service.browser_login.next_url(page)
    toast = Toast(toast) if isinstance(toast, str) else toast
    cookies = () if toast is None else (toast_cookie(ctx, toast),)
    if is_htmx(ctx.headers):
        return RawResponse(b"", HTML, {**HEADERS, "HX-Redirect": location}, HTTPStatus.OK, cookies)
    return RawResponse(b"", HTML, {**HEADERS, "Location": location}, HTTPStatus.SEE_OTHER, cookies)


def render_problem(service: ServiceContext, route: Route | None, request: BaseRequest, problem: Problem) -> RawResponse:
    """Render a problem; a browser that is not signed in and opens a page is redirected to the sign-in.

    Parameters
    ----------
    route : Route or None
        None for an address of the panel that does not exist.
    """
    allowed_auth = frozenset[AuthMethod]() if route is None else route.auth
    htmx = is_htmx(request.headers)
    try:
        if _is_signed_out(problem) and htmx:
            return RawResponse(b"", HTML, {**HEADERS, "HX-Refresh": "true"}, HTTPStatus.UNAUTHORIZED)
        if _is_signed_out(problem) and request.method == "GET" and AuthMethod.BROWSER in allowed_auth:
            page, query = raw_path(request).removeprefix(service.prefix), raw_query(request)
            address, cookie = service.browser_login.start_login(request, f"{page}?{query}" if query else page)
            return RawResponse(b"", HTML, {**HEADERS, "Location": address}, HTTPStatus.FOUND, (cookie,))
    except Problem as error:
        problem = error
    body = render_problem_page(
        problem,
        _page_to_return_to(request, service.prefix),
        service.prefix,
        service.browser_login.hub_location.address,
        here="" if route is None else current_page(route.path),
        template="problem_toast.html" if htmx else "problem.html",
    )
    headers = dict(HEADERS)
    if htmx:
        headers |= {"HX-Retarget": "#az-toasts", "HX-Reswap": "innerHTML", "HX-Push-Url": "false"}
    if problem.extensions.get("reason") == SERVICE_WORKER:
        headers["Clear-Site-Data"] = '"storage"'
    if isinstance(problem, MethodNotAllowed):
        headers["Allow"] = ", ".join(problem.extensions["allow"])
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR else problem.status
    return RawResponse(body.encode(), HTML, headers, status)


def render_problem_page(
    problem: Problem, page: str, prefix: str, hub_address: str, *, here: str = "", template: str = "problem.html"
) -> str:
    """Return the page of a problem without the frame that depends on its reader, as HTML.

    Parameters
    ----------
    page : str
        See `problem_variables`.
    here : str
        Page of the menu that it belongs to.
    """
    variables = {
        **NO_SHELL,
        "hub": hub_address,
        "me": None,
        "xsrf": None,
        "here": here,
        "now": None,
        "toast": None,
        **problem_variables(problem, page),
    }
    return render_template(template, variables, prefix)


def problem_variables(problem: Problem, page: str) -> dict[str, Any]:
    """Return the variables of the page of a problem.

    Parameters
    ----------
    page : str
        Where *Back* leads to, and where a repeated sign-in returns to; below the prefix.
    """
    return {
        "problem": problem,
        "signed_out": _is_signed_out(problem),
        "needs_recent_login": problem.extensions.get("reason") == "fresh-login-required",
        "page": page,
    }


def _page_to_return_to(request: BaseRequest, prefix: str) -> str:
    """Return the page of a request, or the one that a form belongs to: the page above it."""
    page, query = raw_path(request).removeprefix(prefix), raw_query(request)
    if request.method == "GET":
        return f"{page}?{query}" if query else page
    return page.rpartition("/")[0]


def _is_signed_out(problem: Problem) -> bool:
    return isinstance(problem, NotAuthenticated) and problem.extensions.get("code") in ("missing", "signed-out")
