"""Responses to requests that failed: a problem document, an OAuth error or an HTML page, as the route has it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from aizen_hub.problems import NotFound, Problem, Unavailable
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http import connection_limits
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.problem_response import problem_response
from aizen_hub.service.http.route import RawResponse, Route
from aizen_hub.service.pipeline.endpoint import RequestState, raw_response, send_line
from aizen_hub.service.pipeline.request_observer import NO_ROUTE
from aizen_hub.service.runtime.metrics import Metrics
from aizen_hub.store.actor import Channel
from aizen_hub.wording import REPEAT_REQUEST, CommandNames, Interface

PageRenderer = Callable[[Route | None, web.Request, Problem], RawResponse]

NO_SUCH_ADDRESS = "there is nothing at this address"
log = logging.getLogger("aizen_hub.service")


class ErrorResponses:
    """Turns every error into a response in the format of its route.

    Parameters
    ----------
    metrics : Metrics
    render_page : callable
        Renders the problem page of a browser page; without a route, that of an address that does not exist.
    prefix : str
        Path below the hub's proxy: what does not exist there is shown as a page, except in the API.
    command_names : callable
        Returns the catalog's command with a handler, for remedies that name one.
    panel_url : str
        Address of the panel for browsers: a refusal says where it is explained.
    """

    def __init__(
        self,
        metrics: Metrics,
        render_page: PageRenderer,
        prefix: str,
        command_names: CommandNames,
        panel_url: str,
    ) -> None:
        self._metrics, self._render_page, self._command_names = metrics, render_page, command_names
        self._prefix, self._panel_url = prefix, panel_url

    async def respond(self, request: web.Request, state: RequestState, error: BaseException) -> web.StreamResponse:
        """Return the response to a request that failed; a stream that has begun ends with it."""
        endpoint, problem = state.endpoint, self._to_problem(state, error)
        problem.word_for(_interface(state), self._command_names)
        self._add_pages(problem)
        stream = state.stream
        if stream is not None and isinstance(error, Exception):
            # The status is sent, or will be: the only way left to report the error is a last line.
            end = {"event": "end", "state": "unknown", "result": None, "message": problem.detail}
            await send_line(request, stream, end)
            return stream
        if stream is not None and stream.prepared:
            connection_limits.abort(request)
            return stream
        if endpoint is None:
            return self._unknown_address_response(request, state.path, problem)
        route = endpoint.route
        if route.error_formatter is not None:
            return endpoint.response(route.error_formatter(problem))
        if route.browser_page and route.media_type == HTML:
            return endpoint.response(self._render_page(route, request, problem))
        return problem_response(problem, route, self._prefix)

    def _add_pages(self, problem: Problem) -> None:
        """Add to a denial the pages that explain it, and that ask for the missing role, to users who may read them."""
        decision = problem.extensions.get("decision")
        if not isinstance(decision, Mapping) or decision.get("allowed") is not False or not decision.get("id"):
            return
        problem.extensions["why"] = f"{self._panel_url}why?decision={decision['id']}"
        if decision.get("role") and problem.extensions.get("who_can_grant"):
            scope = problem.extensions.get("scope", SYSTEM)
            asked = {"role": decision["role"]} | ({} if scope == SYSTEM else {"project": scope})
            problem.extensions["ask"] = f"{self._panel_url}me/ask?{urlencode(asked)}"

    def _unknown_address_response(self, request: web.Request, path: str, problem: Problem) -> web.StreamResponse:
        is_in_panel = f"{path}/".startswith(self._prefix) and not path.startswith(f"{self._prefix}api/")
        if is_in_panel:
            return raw_response(self._render_page(None, request, problem))
        return problem_response(problem, prefix=self._prefix)

    def _to_problem(self, state: RequestState, error: BaseException) -> Problem:
        """Return the problem to show; an unexpected error is logged under an id, and only that id is shown."""
        if isinstance(error, Problem) and error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return error
        if isinstance(error, web.HTTPNotFound):  # raised by aiohttp's dispatcher
            return NotFound(NO_SUCH_ADDRESS)
        error_id = secrets.token_hex(8)
        route = None if state.endpoint is None else state.endpoint.route
        label = NO_ROUTE if route is None else route.name
        if isinstance(error, TimeoutError):
            log.warning("deadline passed", extra={"data": {"id": error_id, "route": label}})
            return _indeterminate(route, "no answer within the deadline", error_id)
        self._metrics.count_failure(label, type(error).__name__)
        # SQLAlchemy's messages quote statements and their values: only the class is logged.
        is_store_error = isinstance(error, SQLAlchemyError)
        log.error(
            "store failed" if is_store_error else "unexpected",
            exc_info=None if is_store_error else error,
            extra={"data": {"id": error_id, "route": label, "class": type(error).__name__}},
        )
        return _indeterminate(route, "this could not be done now", error_id)


def _interface(state: RequestState) -> Interface:
    """Return what will show the response to a request."""
    endpoint, principal = state.endpoint, state.principal
    if endpoint is not None and endpoint.route.browser_page:
        return Interface.WEB
    if principal is not None and principal.actor is not None:
        return INTERFACES.get(principal.actor.channel, Interface.COMMAND_LINE)
    return Interface.COMMAND_LINE if endpoint is not None and endpoint.proxied else Interface.NOTEBOOK


INTERFACES = {Channel.KERNEL: Interface.NOTEBOOK, Channel.PANEL: Interface.WEB, Channel.HUB: Interface.WEB}


def _indeterminate(route: Route | None, detail: str, error_id: str) -> Problem:
    """Return the problem of a request that failed; where it writes, the write may have been done, or may follow."""
    if route is None or not route.idempotent:
        return Unavailable(detail, extensions={"id": error_id})
    return Unavailable(
        f"{detail}; it may have been done all the same",
        remedy=REPEAT_REQUEST,
        extensions={"id": error_id, "indeterminate": True},
    )
