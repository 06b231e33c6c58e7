"""The middlewares of the application, from the outermost to the innermost.

1. `RequestObserver`: metrics and the access log.
2. `ProblemDocuments`: every error becomes a problem document, an OAuth error or an HTML page.
3. `RequestLimits`: bounds of head and body; sealed or stopping services refuse.
4. `Authentication`: the principal, and its rate and concurrency limits.

Security headers are set by a signal, `security_headers`, since that also covers responses that are streamed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from aizen_hub.api_models.headers import INSTANCE_HEADER
from aizen_hub.problems import NotFound, Problem, TooManyRequests, Unavailable
from aizen_hub.service.auth.authenticator import RequestAuthenticator
from aizen_hub.service.auth.rate_limits import RateLimiter
from aizen_hub.service.http import connection_limits
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.problem_response import SECURITY_HEADERS, SERVER_NAME, problem_response
from aizen_hub.service.http.route import RawResponse, Route
from aizen_hub.service.metrics import Metrics
from aizen_hub.service.pipeline.endpoint import STATE, Endpoint, RequestState, raw_response, send_line
from aizen_hub.service.state import ServiceState
from aizen_hub.store.actor import Channel
from aizen_hub.wording import REPEAT_REQUEST, CommandNames, Interface

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
PageRenderer = Callable[[Route | None, web.Request, Problem], RawResponse]

BROWSER_HEADERS = (("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"))
NO_ROUTE = "no route"
NO_SUCH_ADDRESS = "there is nothing at this address"
log = logging.getLogger("aizen_hub.service")
access_log = logging.getLogger("aizen_hub.service.access")


class RequestObserver:
    """Measures, counts and logs every request, and decides whether its connection ends.

    Parameters
    ----------
    endpoints : mapping of aiohttp route to Endpoint
    metrics : Metrics
    client_address : callable
        Returns the client address of a request for the log (R121).
    """

    def __init__(
        self,
        endpoints: Mapping[web.AbstractRoute, Endpoint],
        metrics: Metrics,
        client_address: Callable[..., str],
    ) -> None:
        self._endpoints, self._metrics, self._client_address = endpoints, metrics, client_address

    @web.middleware
    async def observe(self, request: web.Request, handler: Next) -> web.StreamResponse:
        started = time.perf_counter()
        state = request[STATE] = RequestState(self._endpoints.get(request.match_info.route), request.raw_path)
        try:
            response = await handler(request)
        except asyncio.CancelledError:  # the service stops, and the connection is closed
            self._record(request, state, HTTPStatus.SERVICE_UNAVAILABLE, time.perf_counter() - started)
            raise
        if connection_limits.must_close(request) or not request.content.is_eof():
            response.force_close()
        self._record(request, state, response.status, time.perf_counter() - started)
        return response

    def _record(self, request: web.Request, state: RequestState, status: int, seconds: float) -> None:
        route = None if state.endpoint is None else state.endpoint.route
        label = NO_ROUTE if route is None else route.name
        self._metrics.count_request(label, status, seconds)
        level = logging.DEBUG
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            level = logging.WARNING
        elif status >= HTTPStatus.BAD_REQUEST or (route is not None and route.idempotent):
            level = logging.INFO
        if not access_log.isEnabledFor(level):
            return
        proxied = state.endpoint is not None and state.endpoint.proxied
        data: dict[str, object] = {
            "route": label,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "source": self._client_address(request, proxied=proxied),
        }
        if state.context is not None:
            actor = state.context.principal.actor
            data |= {
                "decision": state.context.decision_id,
                "identity": None if actor is None else str(actor.identity),
                "session": state.context.principal.session_id,
            }
        access_log.log(level, "answered", extra={"data": data})


class ProblemDocuments:
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
    """

    def __init__(self, metrics: Metrics, render_page: PageRenderer, prefix: str, command_names: CommandNames) -> None:
        self._metrics, self._render_page, self._command_names = metrics, render_page, command_names
        self._prefix = prefix

    @web.middleware
    async def respond(self, request: web.Request, handler: Next) -> web.StreamResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return await self._error_response(request, request[STATE], error)
        except Exception as error:  # noqa: BLE001 - every error is answered, logged and counted in `_to_problem`
            return await self._error_response(request, request[STATE], error)

    async def _error_response(
        self, request: web.Request, state: RequestState, error: BaseException
    ) -> web.StreamResponse:
        endpoint, problem = state.endpoint, self._to_problem(state, error)
        problem.word_for(_interface(state), self._command_names)
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
        return problem_response(problem, route)

    def _unknown_address_response(self, request: web.Request, path: str, problem: Problem) -> web.StreamResponse:
        is_in_panel = f"{path}/".startswith(self._prefix) and not path.startswith(f"{self._prefix}api/")
        return raw_response(self._render_page(None, request, problem)) if is_in_panel else problem_response(problem)

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
        return _INTERFACES.get(principal.actor.channel, Interface.COMMAND_LINE)
    return Interface.COMMAND_LINE if endpoint is not None and endpoint.proxied else Interface.NOTEBOOK


_INTERFACES = {Channel.KERNEL: Interface.NOTEBOOK, Channel.PANEL: Interface.WEB, Channel.HUB: Interface.WEB}


def _indeterminate(route: Route | None, detail: str, error_id: str) -> Problem:
    """Return the problem of a request that failed; where it writes, the write may have been done, or may follow."""
    if route is None or not route.idempotent:
        return Unavailable(detail, extensions={"id": error_id})
    return Unavailable(
        f"{detail}; it may have been done all the same",
        remedy=REPEAT_REQUEST,
        extensions={"id": error_id, "indeterminate": True},
    )


class RequestLimits:
    """Refuses requests outside the bounds, before their body is received where the head is enough (R126).

    Parameters
    ----------
    state : ServiceState
    metrics : Metrics
    """

    def __init__(self, state: ServiceState, metrics: Metrics) -> None:
        self._state, self._metrics = state, metrics

    @web.middleware
    async def enforce(self, request: web.Request, handler: Next) -> web.StreamResponse:
        connection_limits.check_head(request)
        state = request[STATE]
        endpoint = state.endpoint
        if endpoint is None:
            return await handler(request)
        if not endpoint.matches(state.path):
            # aiohttp matches a decoded path; here an address is what was sent.
            state.endpoint = None
            raise NotFound(NO_SUCH_ADDRESS)
        route = endpoint.route
        connection_limits.check_content_length(request, route.max_body)
        state.body = await connection_limits.read_body(request, route.max_body)
        if connection_limits.client_disconnected(request):
            raise connection_limits.ClientDisconnected("the client closed the connection")
        if not route.available_when_sealed:
            if self._state.sealed is not None:
                self._metrics.count_sealed_refusal(route.name)
            self._state.require_open()
        return await handler(request)


class Authentication:
    """Authenticates every request of an endpoint, and admits its principal within its limits.

    It runs after the body was received, which may be slow: a credential is checked as late as possible.

    Parameters
    ----------
    authenticator : RequestAuthenticator
    rate_limiter : RateLimiter
    """

    def __init__(self, authenticator: RequestAuthenticator, rate_limiter: RateLimiter) -> None:
        self._authenticator, self._rate_limiter = authenticator, rate_limiter

    @web.middleware
    async def authenticate(self, request: web.Request, handler: Next) -> web.StreamResponse:
        state = request[STATE]
        endpoint = state.endpoint
        if endpoint is None:
            return await handler(request)
        principal = state.principal = await self._authenticator.authenticate(
            endpoint.route, request, proxied=endpoint.proxied
        )
        try:
            slot = self._rate_limiter.admit(principal)
        except TooManyRequests:
            await self._rate_limiter.delay_refusal(principal)
            raise
        with slot:
            return await handler(request)


def security_headers(instance: str, prefix: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return the signal handler that adds the headers of every response.

    Parameters
    ----------
    instance : str
        Id of this process.
    prefix : str
        Path below the hub's proxy; responses there also get `BROWSER_HEADERS`.
    """

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        for name, value in SECURITY_HEADERS:
            headers.setdefault(name, value)
        headers["Server"] = SERVER_NAME
        headers[INSTANCE_HEADER] = instance
        if request.raw_path.startswith(prefix):
            for name, value in BROWSER_HEADERS:
                headers.setdefault(name, value)

    return add_headers
