"""Rendering of the panel's pages: templates, security headers, redirects, and pages that show a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from aiohttp.web import BaseRequest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.service.auth.request_forgery import SERVICE_WORKER
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.problem_response import MethodNotAllowed
from aizen_hub.service.http.request_parsing import raw_path, raw_query
from aizen_hub.service.http.route import ANY_REGISTERED, AuthMethod, Handler, JsonResponse, RawResponse, Route
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.wording import Interface

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext
    from aizen_hub.service.pipeline.request_context import RequestContext

T = TypeVar("T")

IN_BROWSER = frozenset({AuthMethod.BROWSER})
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
NAVIGATION = (
    ("", "My access"),
    ("pending", "Pending changes"),
    ("sessions", "Sessions and revocation"),
    ("account", "My account"),
)
TEMPLATES = Path(__file__).parent / "templates"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def form_route(path: str, handler: Handler, summary: str, body: type[Form], *, own_deadline: bool = False) -> Route:
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
    )


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"utc": _format_time, "limit": _format_limit, "identity": _format_identity}
    return environment


def render(ctx: RequestContext, template: str, *, status: int = 200, **variables: Any) -> RawResponse:
    """Render a page for the user of a request."""
    actor = ctx.actor
    common = {
        **_page_links(ctx.service),
        "me": actor.identity.name,
        "xsrf": ctx.principal.xsrf,
        "here": ctx.route.path.split("/")[1],
        "recent_login_until": actor.recent_login_until,
    }
    for value in variables.values():
        if isinstance(value, Problem):
            value.word_for(Interface.WEB, ctx.service.catalog.command_with_handler)
    return RawResponse(render_template(template, common | variables).encode(), HTML, HEADERS, status)


def render_template(template: str, variables: Mapping[str, Any]) -> str:
    """Return a page; a template that reads a variable which it was not given raises an error."""
    return _environment().get_template(template).render(variables)


def see_other(ctx: RequestContext, page: str) -> RawResponse:
    """Redirect the browser to a page of the panel (303)."""
    return RawResponse(b"", HTML, {**HEADERS, "Location": ctx.service.browser_login.next_url(page)}, 303)


def render_problem(service: ServiceContext, route: Route | None, request: BaseRequest, problem: Problem) -> RawResponse:
    """Render a problem; a browser that is not signed in and opens a page is redirected to the sign-in.

    Parameters
    ----------
    route : Route or None
        None for an address of the panel that does not exist.
    """
    allowed_auth = frozenset[AuthMethod]() if route is None else route.auth
    try:
        if _is_signed_out(problem) and request.method == "GET" and AuthMethod.BROWSER in allowed_auth:
            page, query = raw_path(request).removeprefix(service.prefix), raw_query(request)
            address, cookie = service.browser_login.start_login(request, f"{page}?{query}" if query else page)
            return RawResponse(b"", HTML, {**HEADERS, "Location": address}, 302, (cookie,))
    except Problem as error:
        problem = error
    variables = {
        **_page_links(service),
        "me": None,
        "xsrf": None,
        "here": None,
        "recent_login_until": None,
        "problem": problem,
        "needs_recent_login": problem.extensions.get("reason") == "fresh-login-required",
        "page": "" if route is None else route.path.split("/")[1],
    }
    body = render_template("problem.html", variables)
    headers = HEADERS
    if problem.extensions.get("reason") == SERVICE_WORKER:
        headers = {**HEADERS, "Clear-Site-Data": '"storage"'}
    if isinstance(problem, MethodNotAllowed):
        headers = {**HEADERS, "Allow": ", ".join(problem.extensions["allow"])}
    return RawResponse(body.encode(), HTML, headers, 503 if problem.status == 500 else problem.status)


async def authorized_value(ctx: RequestContext, operation: Callable[[WriteTransaction], T]) -> T:
    """Run a function in one transaction with the decision of its route; returns its result."""
    value: T = (await ctx.authorized_write(lambda tx, _: JsonResponse(operation(tx)))).value
    return value


def _is_signed_out(problem: Problem) -> bool:
    return isinstance(problem, NotAuthenticated) and problem.extensions.get("code") in ("missing", "signed-out")


def _page_links(service: ServiceContext) -> dict[str, Any]:
    return {
        "prefix": service.prefix,
        "hub": service.browser_login.hub_location.address,
        "pages": NAVIGATION,
        "quote": lambda text: quote(text, safe=""),
    }


def _format_time(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def _format_limit(value: float, kind: str) -> str:
    if kind != "memory":
        return f"{value:g}"
    step = 0
    while value >= 1024 and step < len(_UNITS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:g} {_UNITS[step]}"


def _format_identity(identity: str) -> str:
    """Return an identity for readers: a user by name alone."""
    return identity.removeprefix("user:").replace(":", " ", 1)
