"""Endpoints: a route at one path, from an authenticated request to the response of its handler."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, hdrs
from aiohttp.web import Request, RequestKey, Response, StreamResponse
from multidict import CIMultiDict

from aizen_hub.service.auth.principal import Principal
from aizen_hub.service.auth.request_forgery import check_csrf
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.http import connection_limits
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.headers import JSON, NDJSON, XSRF_HEADER
from aizen_hub.service.http.problem_response import encode_json
from aizen_hub.service.http.request_parsing import parse_body, parse_query, path_params
from aizen_hub.service.http.route import JsonResponse, NdjsonResponse, RawResponse, Route
from aizen_hub.service.http.standard_headers import StandardHeaders
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.tracing import RequestSpan

_UNFIT = re.compile(r"[^\t -~]")


class RequestState:
    """The state of one request between the middlewares, stored in the request under `STATE`.

    Attributes
    ----------
    endpoint : Endpoint or None
        None where the address does not exist.
    path, query : str
        Of the request target as it was sent, without the ``?``.
    body : bytes
    principal : Principal or None
        Once the request is authenticated.
    context : RequestContext or None
        Once the input is parsed.
    stream : StreamResponse or None
        A response that may have begun already.
    span : RequestSpan or None
        Where traces are made.
    """

    __slots__ = ("body", "context", "endpoint", "path", "principal", "query", "span", "stream")

    def __init__(self, endpoint: Endpoint | None, target: str) -> None:
        self.endpoint = endpoint
        self.path, _, self.query = target.partition("?")
        self.body = b""
        self.principal: Principal | None = None
        self.context: RequestContext | None = None
        self.stream: StreamResponse | None = None
        self.span: RequestSpan | None = None


STATE = RequestKey("state", RequestState)


class Endpoint:
    """One route at the service's own address, or below the proxy's prefix.

    Parameters
    ----------
    service : ServiceContext
    route : Route
    path : str
        With the prefix, and with ``{parameters}``.
    headers : StandardHeaders
        For streams, whose headers are sent before the response is returned.
    proxied : bool
        Whether requests come through the hub's proxy.
    """

    def __init__(
        self, service: ServiceContext, route: Route, path: str, headers: StandardHeaders, *, proxied: bool
    ) -> None:
        self.route, self.proxied = route, proxied
        self._headers = headers
        self._service, self._path, self._is_fixed = service, path, "{" not in path
        self._parts = path.split("/")
        self._deadline = service.settings.service.deadline_seconds

    def matches(self, path: str) -> bool:
        """Whether a path as it was sent is this one: nothing is decoded or normalized before it is compared."""
        if self._is_fixed:
            return path == self._path
        segments = path.split("/")
        return len(segments) == len(self._parts) and all(
            part == segment or part.startswith("{") for part, segment in zip(self._parts, segments, strict=True)
        )

    async def handle(self, request: Request) -> StreamResponse:
        """Run the handler of the route on an authenticated request, within the deadline."""
        state, route, service = request[STATE], self.route, self._service
        principal = state.principal
        assert principal is not None, "the authentication middleware runs before every endpoint"
        body = state.body
        parsed = (
            await service.pools.queries.run(lambda: parse_body(route, request.headers, body))
            if route.parsed_in_thread
            else parse_body(route, request.headers, body)
        )
        ctx = state.context = RequestContext(
            service,
            route,
            principal,
            {} if self._is_fixed else path_params(self._segments(state.path)),
            parsed,
            parse_query(route, state.query),
            request.headers,
        )
        if principal.xsrf is not None:
            sent = ctx.body.xsrf if isinstance(ctx.body, Form) else request.headers.get(XSRF_HEADER)
            check_csrf(request, principal.xsrf, sent, page=route.browser_page)
        if route.own_deadline:
            result = await route.handler(ctx)
        else:
            async with asyncio.timeout(self._deadline):
                result = await route.handler(ctx)
        if isinstance(result, NdjsonResponse):
            return await self._send_stream(request, state, result)
        return self.response(result)

    def response(self, result: JsonResponse | RawResponse) -> Response:
        """Return the HTTP response of what a handler returned."""
        if isinstance(result, RawResponse):
            return raw_response(result)
        status = result.status or self.route.status
        headers = _response_headers(JSON, result.headers.items())
        if status == HTTPStatus.NO_CONTENT:
            del headers[hdrs.CONTENT_TYPE]
            return Response(status=status, headers=headers)
        return Response(status=status, body=encode_json(result.value), headers=headers)

    async def _send_stream(self, request: Request, state: RequestState, result: NdjsonResponse) -> StreamResponse:
        response = state.stream = StreamResponse(headers={"Content-Type": NDJSON, "X-Accel-Buffering": "no"})
        self._headers.add_to(response.headers, request.raw_path)
        if request.version < HttpVersion11:
            response.force_close()  # without chunks the end of the connection is the end of the body
        async for event in result.events:
            if not await send_line(request, response, event):
                break
        return response

    def _segments(self, path: str) -> Mapping[str, str]:
        pairs = zip(self._parts, path.split("/"), strict=True)
        return {part[1:-1]: segment for part, segment in pairs if part.startswith("{")}


def raw_response(result: RawResponse) -> Response:
    """Return the HTTP response of a page, or of another body that is not JSON."""
    headers = _response_headers(result.content_type, result.headers.items())
    for cookie in result.cookies:
        headers.add("Set-Cookie", cookie)
    return Response(status=result.status, body=result.body, headers=headers)


def _response_headers(content_type: str, fields: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    headers = CIMultiDict({hdrs.CONTENT_TYPE: content_type})
    for name, value in fields:
        if _UNFIT.search(value):
            raise ValueError(f"the header `{name}` cannot hold such a value")
        headers[name] = value
    return headers


async def send_line(request: Request, response: StreamResponse, event: Any) -> bool:
    """Send one line of a stream; False where its reader is gone."""
    line = encode_json(event) + b"\n"
    try:
        async with asyncio.timeout(connection_limits.READER_SECONDS):
            await response.prepare(request)
            await response.write(line)
    except ConnectionError:
        return False
    except TimeoutError:  # it is connected, and does not read
        connection_limits.abort(request)
        return False
    return True
