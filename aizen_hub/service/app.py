"""The aiohttp application, built from the table of routes and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from aiohttp import web

from aizen_hub.problems import NotFound, Problem, Unavailable
from aizen_hub.service.api.health import METRICS_PATH
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.http.problem_response import MethodNotAllowed
from aizen_hub.service.http.route import (
    DIRECT_METHODS,
    PROXIED_METHODS,
    AuthMethod,
    RawResponse,
    Route,
    check_routes,
)
from aizen_hub.service.http.standard_headers import StandardHeaders
from aizen_hub.service.panel.rendering import render_problem
from aizen_hub.service.pipeline.endpoint import Endpoint
from aizen_hub.service.pipeline.error_responses import NO_SUCH_ADDRESS, ErrorResponses
from aizen_hub.service.pipeline.request_pipeline import RequestPipeline
from aizen_hub.service.routes import routes

LIVENESS_PAGE = "/"
"""The page of the panel that a hub requests at its start, to learn whether the service that it started is alive.

A hub ends if it gets server errors there for half a minute. A sealed service is alive: it answers with success and the
page that says what is wrong.
"""
AiohttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(service: ServiceContext) -> web.Application:
    """Build the application of all routes; without the metrics where these have an address of their own.

    Raises
    ------
    RouteError
        A route does not declare its credentials or its requirement.
    """
    table = routes()
    if service.settings.metrics.port is not None:
        table = tuple(route for route in table if route.path != METRICS_PATH)
    return _create_app(service, table)


def create_metrics_app(service: ServiceContext) -> web.Application:
    """Build the application that has the metrics only."""
    return _create_app(service, tuple(route for route in routes() if route.path == METRICS_PATH))


def _create_app(service: ServiceContext, table: tuple[Route, ...]) -> web.Application:
    """Build the application of a table of routes.

    Every route of the table is reached at the service's own address for the credentials of that side, and below the
    proxy's prefix for those of the other; any other address or method is refused (R60).
    """
    check_routes(table)
    endpoints: dict[web.AbstractRoute, Endpoint] = {}
    errors = ErrorResponses(
        service.metrics,
        partial(_render_problem, service),
        service.prefix,
        service.catalog.command_with_handler,
        service.browser_login.hub_location.panel_url or service.prefix,
    )
    headers = StandardHeaders(service.instance, service.prefix)
    app = web.Application(middlewares=(RequestPipeline(service, endpoints, errors, headers).respond,))
    for path, path_routes in _by_path(table, "", DIRECT_METHODS | {AuthMethod.NONE}).items():
        endpoints |= _add_path(app, service, headers, path, path_routes, proxied=False)
    proxied_routes = [route for route in table if route.path.startswith("/api/") or route.browser_page]
    prefix = service.prefix.rstrip("/")
    for path, path_routes in _by_path(proxied_routes, prefix, PROXIED_METHODS | {AuthMethod.NONE}).items():
        endpoints |= _add_path(app, service, headers, path, path_routes, proxied=True)
    app.router.add_route("*", "/{path:(?s:.*)}", _not_found, expect_handler=_defer_continue)
    return app


def _render_problem(
    service: ServiceContext, route: Route | None, request: web.BaseRequest, problem: Problem
) -> RawResponse:
    if not problem.extensions.get("sealed"):
        return render_problem(service, route, request, problem)
    detail = f"the access service decides nothing until an administrator has repaired it: {problem.detail}"
    page = render_problem(service, route, request, Unavailable(detail, remedy=problem.remedy))
    return replace(page, status=HTTPStatus.OK) if route is not None and route.path == LIVENESS_PAGE else page


def _by_path(table: Iterable[Route], prefix: str, methods: frozenset[AuthMethod]) -> dict[str, list[Route]]:
    paths: dict[str, list[Route]] = defaultdict(list)
    for route in table:
        if route.auth & methods:
            paths[prefix + route.path].append(route)
    return paths


def _add_path(
    app: web.Application,
    service: ServiceContext,
    headers: StandardHeaders,
    path: str,
    path_routes: Iterable[Route],
    *,
    proxied: bool,
) -> dict[web.AbstractRoute, Endpoint]:
    resource = app.router.add_resource(_pattern(path))
    endpoints: dict[web.AbstractRoute, Endpoint] = {}
    for route in path_routes:
        endpoint = Endpoint(service, route, path, headers, proxied=proxied)
        endpoints[resource.add_route(route.method, endpoint.handle, expect_handler=_defer_continue)] = endpoint
    allowed = sorted(route.method for route in path_routes)
    resource.add_route("*", _method_not_allowed(allowed), expect_handler=_defer_continue)
    return endpoints


def _pattern(path: str) -> str:
    # Any segment, also with braces: what a parameter may hold is checked when it is parsed.
    return "/".join(f"{part[:-1]}:[^/]+}}" if part.startswith("{") else part for part in path.split("/"))


def _method_not_allowed(allowed: list[str]) -> AiohttpHandler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise MethodNotAllowed(f"the methods of this address are {', '.join(allowed)}", extensions={"allow": allowed})

    return refuse


async def _not_found(request: web.Request) -> web.StreamResponse:
    raise NotFound(NO_SUCH_ADDRESS)


async def _defer_continue(request: web.Request) -> None:
    """Send no ``100 Continue`` yet: `connection_limits.read_body` sends it when the body is wanted."""
