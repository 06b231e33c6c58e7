"""The way of every request: bounds, authentication, rate limits, its endpoint, and the response or the error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web

from aizen_hub.problems import NotFound, TooManyRequests
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.http import connection_limits
from aizen_hub.service.http.listener import HardenedConnection
from aizen_hub.service.http.route import Route
from aizen_hub.service.http.standard_headers import StandardHeaders
from aizen_hub.service.pipeline.endpoint import STATE, Endpoint, RequestState
from aizen_hub.service.pipeline.error_responses import NO_SUCH_ADDRESS, ErrorResponses
from aizen_hub.service.pipeline.request_observer import RequestObserver
from aizen_hub.tracing import Tracing

_TRACED = ("/api/", "/oauth/", "/access/")
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestPipeline:
    """The middleware of the application. One, since each costs as much as most of what it does.

    Parameters
    ----------
    service : ServiceContext
    endpoints : mapping of aiohttp route to Endpoint
        May be filled later.
    errors : ErrorResponses
    headers : StandardHeaders
    """

    def __init__(
        self,
        service: ServiceContext,
        endpoints: Mapping[web.AbstractRoute, Endpoint],
        errors: ErrorResponses,
        headers: StandardHeaders,
    ) -> None:
        self._endpoints, self._errors, self._headers = endpoints, errors, headers
        self._authenticator, self._rate_limiter = service.authenticator, service.rate_limiter
        self._service_state, self._metrics, self._tracing = service.state, service.metrics, service.tracing
        self._observer = RequestObserver(service.metrics, service.authenticator.client_address)

    @web.middleware
    async def respond(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Return the response to a request, whatever happens, and count it."""
        started = time.perf_counter()
        state = request[STATE] = RequestState(self._endpoints.get(request.match_info.route), request.raw_path)
        if self._tracing is not None and state.endpoint is not None:
            self._begin_span(self._tracing, request, state, state.endpoint.route)
        try:
            response = await self._handle(request, state, handler)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # the service stops, and the connection is closed
                seconds = time.perf_counter() - started
                self._observer.record(request, state, HTTPStatus.SERVICE_UNAVAILABLE, seconds)
                raise
            response = await self._errors.respond(request, state, error)
        except Exception as error:  # noqa: BLE001 - every error is answered, logged and counted in `ErrorResponses`
            response = await self._errors.respond(request, state, error)
        if not response.prepared:  # a stream has sent them
            self._headers.add_to(response.headers, request.raw_path)
        is_ending = self._service_state.draining
        if is_ending or connection_limits.must_close(request) or not request.content.is_eof():
            response.force_close()
        self._observer.record(request, state, response.status, time.perf_counter() - started)
        return response

    @staticmethod
    def _begin_span(tracing: Tracing, request: web.Request, state: RequestState, route: Route) -> None:
        # Health checks and metrics are asked all the time, and decide nothing.
        if route.path.startswith(_TRACED):
            parent = request.headers.get("traceparent")
            state.span = tracing.begin_request(route.name, route.method, route.path, parent)

    async def _handle(self, request: web.Request, state: RequestState, handler: Next) -> web.StreamResponse:
        connection_limits.check_head(request)
        endpoint = state.endpoint
        if endpoint is None:
            return await handler(request)
        if not endpoint.matches(state.path):
            # aiohttp matches a decoded path; here an address is what was sent.
            state.endpoint = None
            raise NotFound(NO_SUCH_ADDRESS)
        route = endpoint.route
        # Refused before the body is received where the head is enough (R126).
        connection_limits.check_content_length(request, route.max_body)
        state.body = await connection_limits.read_body(request, route.max_body)
        connection = request.protocol
        assert isinstance(connection, HardenedConnection), "requests come by the listener"
        if connection.is_closed_by_client:
            raise connection_limits.ClientDisconnected("the client closed the connection")
        if not route.available_when_sealed:
            if self._service_state.sealed is not None:
                self._metrics.count_sealed_refusal(route.name)
            self._service_state.require_open()
        # After the body was received, which may be slow: a credential is checked as late as possible.
        principal = state.principal = await self._authenticator.authenticate(route, request, proxied=endpoint.proxied)
        try:
            slot = self._rate_limiter.admit(principal)
        except TooManyRequests:
            await self._rate_limiter.delay_refusal(principal)
            raise
        with slot:
            return await handler(request)
