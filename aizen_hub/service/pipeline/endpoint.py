"""The one way of a request: from its bytes to a Call, and from an Answer or Problem to bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest, Response, StreamResponse
from multidict import CIMultiDict
from sqlalchemy.exc import SQLAlchemyError

from aizen_hub.problems import NotAuthenticated, NotFound, Problem, TooLarge, TooMany, Unavailable
from aizen_hub.service.auth.browser_login import XSRF_HEADER
from aizen_hub.service.http import connection_limits as incoming
from aizen_hub.service.http import request_parsing as content
from aizen_hub.service.http.request import Request
from aizen_hub.service.http.route import Answer, Credential, Document, Route, Stream
from aizen_hub.service.panel.rendering import HTML, Form, failed
from aizen_hub.service.pipeline.request_context import Call

if TYPE_CHECKING:
    from aizen_hub.service.pipeline.router import Intake

log = logging.getLogger("aizen_hub.service")

JSON = "application/json"
PROBLEM = "application/problem+json"
LINES = "application/x-ndjson"
READER_SECONDS = 30.0
"""How long an answer, or a line of it, waits for a reader."""

HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Server", "aizen-hub"),  # or the library puts itself there, with its version
)
FOR_BROWSERS = (("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"))
_UNFIT = re.compile(r"[^\t -~]")


class MethodRefused(Problem):
    """This address exists and does not know the method."""

    slug, title, status = "method-not-allowed", "This address does not take that method", 405


def encode(value: Any) -> bytes:
    """JSON without blanks, in UTF-8; a value that is no JSON is a fault of ours and fails here, not at the client."""
    return _JSON.encode(value).encode()


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def refused(problem: Problem) -> Response:
    """Return the answer to what is no request at all; its connection ends."""
    body = encode({**problem.to_json(), "status": int(problem.status)})
    answer = Response(status=problem.status, body=body, headers=(*HEADERS, ("Content-Type", PROBLEM)))
    answer.force_close()
    return answer


class Endpoint:
    """One request and its answer: every request, to whatever address, goes this one way.

    An oversized or misdirected request is refused before its body is taken in (R126).

    Attributes
    ----------
    route : Route or None
    call : Call or None
        Once the caller is known.
    status : int
        Of the answer, as soon as there is one.
    """

    def __init__(self, intake: Intake, http: BaseRequest) -> None:
        self.house, self._intake, self._http = intake.house, intake, http
        self.request = Request(http.method, http.raw_path, http.headers, http.remote or "")
        address, self._segments = intake.find(self.request.path)
        self.proxied = address.proxied
        self.route = address.routes.get(http.method)
        self.call: Call | None = None
        self.status = 0
        self._growing: StreamResponse | None = None
        self._routes = address.routes

    async def answer(self) -> StreamResponse:
        """Return the answer; one that grows while it is read is sent already."""
        try:
            response = await self._serve()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self.status = HTTPStatus.SERVICE_UNAVAILABLE  # the service ends, and nobody hears any more
                self._intake.note(self)
                raise
            response = self._failed(error)
        except Exception as error:  # noqa: BLE001 - whatever happened is told, logged and counted by `_problem`
            response = self._failed(error)
        if incoming.is_last(self._http) or not self._http.content.is_eof():
            response.force_close()
        self.status = response.status
        self._intake.note(self)
        return response

    def _failed(self, error: BaseException) -> StreamResponse:
        if self._growing is None or not self._growing.prepared:
            return self._problem(error)
        self._expected(error)
        incoming.cut_off(self._http)
        return self._growing

    # -- the way of a request --------------------------------------------------------------------------------------

    async def _serve(self) -> StreamResponse:
        route, house, request = self._look(), self.house, self.request
        data = await incoming.body(self._http, route.max_body)
        if incoming.hung_up(self._http):
            raise incoming.NobodyWaits("whoever asked has hung up")
        house.check_open(route)
        # After the body, which may be slow: who that is, and whether they still are, is asked at the last moment.
        caller = await house.roads.identify(route, request, proxied=self.proxied)
        try:
            place = house.limits.admitted(caller)
        except TooMany:
            await house.limits.linger(caller)
            raise
        with place:
            call = self.call = Call(
                house,
                route,
                caller,
                content.members(route, self._segments),
                content.body(route, request.headers, data),
                content.query(route, request.query),
                request.headers,
            )
            if caller.xsrf is not None:
                sent = call.body.xsrf if isinstance(call.body, Form) else request.headers.get(XSRF_HEADER)
                house.browsers.check(request, caller.xsrf, sent, page=route.page)
            work = route.handle(call)
            answer = await (work if route.in_time else call.within_deadline(work))
            if isinstance(answer, Answer):
                return self._answer(answer)
            if isinstance(answer, Stream):
                return await self._stream(answer)
            return self._document(answer)

    def _look(self) -> Route:
        """Refuse what can be refused by the headers alone."""
        route = self.route
        incoming.check_head(self._http)
        if route is None:
            if not self._routes:
                raise NotFound("there is nothing at this address")
            allowed = sorted(self._routes)
            raise MethodRefused(f"this address takes {', '.join(allowed)}", more={"allow": allowed})
        if int(self.request.headers.get("Content-Length", 0)) > route.max_body:  # a number: HTTP was read before us
            raise TooLarge(f"the body has more than {route.max_body} bytes")
        return route

    # -- answers ---------------------------------------------------------------------------------------------------

    def _headers(self, content_type: str, more: Iterable[tuple[str, str]] = ()) -> CIMultiDict[str]:
        headers = CIMultiDict(HEADERS)
        headers["Content-Type"] = content_type
        headers["X-Aizen-Instance"] = self.house.instance
        if self.proxied:
            headers.update(FOR_BROWSERS)
        for name, value in more:
            if _UNFIT.search(value):
                raise ValueError(f"the header `{name}` cannot hold such a value")
            headers[name] = value
        return headers

    def _answer(self, answer: Answer) -> Response:
        route = self.route
        status = answer.status or (HTTPStatus.OK if route is None else route.status)
        headers = self._headers(JSON, answer.headers.items())
        if status == HTTPStatus.NO_CONTENT:
            del headers["Content-Type"]
            return Response(status=status, headers=headers)
        return Response(status=status, body=encode(answer.value), headers=headers)

    def _document(self, answer: Document) -> Response:
        headers = self._headers(answer.content_type, answer.headers.items())
        for cookie in answer.cookies:
            headers.add("Set-Cookie", cookie)
        return Response(status=answer.status, body=answer.body, headers=headers)

    async def _stream(self, answer: Stream) -> StreamResponse:
        response = self._growing = StreamResponse(headers=self._headers(LINES, (("X-Accel-Buffering", "no"),)))
        if self._http.version < HttpVersion11:
            response.force_close()  # its end is the end of the connection
        try:
            async for event in answer.events:
                if not await self._line(response, event):
                    return response
        except Exception as error:  # noqa: BLE001 - the headers are out: the only way left to say it is a last line
            problem = self._expected(error)
            await self._line(response, {"event": "end", "state": "unknown", "result": None, "message": problem.detail})
        return response

    async def _line(self, response: StreamResponse, event: Any) -> bool:
        """Send one line; False where its reader has gone."""
        line = encode(event) + b"\n"
        try:
            async with asyncio.timeout(READER_SECONDS):
                await response.prepare(self._http)
                await response.write(line)
        except ConnectionError:
            return False
        except TimeoutError:  # it is there, and does not read
            incoming.cut_off(self._http)
            return False
        return True

    def _problem(self, error: BaseException) -> StreamResponse:
        problem = self._expected(error)
        route = self.route
        if route is not None and route.wraps is not None:
            return self._answer(route.wraps(problem))
        if route is not None and route.page and route.media == HTML:
            return self._document(failed(self.house, route, self.request, problem))
        status = (
            problem.status if problem.status != HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.SERVICE_UNAVAILABLE
        )
        headers = self._headers(PROBLEM)
        if isinstance(problem, NotAuthenticated):
            headers["WWW-Authenticate"] = problem.challenge or _challenge(route)
        elif isinstance(problem, (TooMany, Unavailable)):
            headers["Retry-After"] = str(int(problem.more.get("retry_after", 1)) or 1)
        if isinstance(problem, MethodRefused):
            headers["Allow"] = ", ".join(problem.more["allow"])
        return Response(status=status, body=encode({**problem.to_json(), "status": int(status)}), headers=headers)

    def _expected(self, error: BaseException) -> Problem:
        """Return the problem to show; what nobody foresaw is logged under an id and shown as that id only."""
        if isinstance(error, Problem) and error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return error
        number = secrets.token_hex(8)
        label = self.route.name if self.route else "no route"
        if isinstance(error, TimeoutError):
            log.warning("deadline passed", extra={"data": {"id": number, "route": label}})
            return self._unknown("no answer within the deadline", number)
        self.house.metrics.failure(label, type(error).__name__)
        # SQLAlchemy's messages quote statements and their values, so only its own classes and the place are logged.
        kind = "store failed" if isinstance(error, SQLAlchemyError) else "unexpected"
        log.error(
            kind,
            exc_info=None if isinstance(error, SQLAlchemyError) else error,
            extra={"data": {"id": number, "route": label, "class": type(error).__name__}},
        )
        return self._unknown("this could not be done now", number)

    def _unknown(self, detail: str, number: str) -> Problem:
        """Return the problem of a request whose work may go on, or may have been done, where it changes something."""
        if self.route is None or not self.route.keyed:
            return Unavailable(detail, more={"id": number})
        return Unavailable(
            f"{detail}; it may have been done all the same",
            remedy="repeat it with the same `Idempotency-Key`",
            more={"id": number, "indeterminate": True},
        )


def _challenge(route: Route | None) -> str:
    scheme = (
        "token"
        if route is not None
        and Credential.HUB_TOKEN in route.takes
        and not route.takes - {Credential.HUB_TOKEN, Credential.BROWSER}
        else "Bearer"
    )
    return f'{scheme} realm="aizen"'
