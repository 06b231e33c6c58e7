"""The one way of a request: from its bytes to a Call, and from an Answer or Problem to bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from asyncio import Future
from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
    responses,
)
from tornado.iostream import StreamClosedError

from aizen_hub.problems import NotAuthenticated, NotFound, Problem, TooLarge, TooMany, Unavailable
from aizen_hub.service import content
from aizen_hub.service.browsers import XSRF_HEADER
from aizen_hub.service.call import Call
from aizen_hub.service.panel.page import HTML, Form, failed
from aizen_hub.service.route import Answer, Credential, Document, Route, Stream

if TYPE_CHECKING:
    from aizen_hub.service.intake import Intake

log = logging.getLogger("aizen_hub.service")

JSON = "application/json"
PROBLEM = "application/problem+json"
LINES = "application/x-ndjson"
MAX_URL = 4096
MAX_HEADERS = 64
MAX_HEADER = 16 << 10

HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
FOR_BROWSERS = (("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"))
_FINE = ResponseStartLine("HTTP/1.1", 200, responses[200])


class MethodRefused(Problem):
    """This address exists and does not know the method."""

    slug, title, status = "method-not-allowed", "This address does not take that method", 405


def encode(value: Any) -> bytes:
    """JSON without blanks, in UTF-8; a value that is no JSON is a fault of ours and fails here, not at the client."""
    return _JSON.encode(value).encode()


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return format_timestamp(second)


class Endpoint(HTTPMessageDelegate):
    """One request and its answer: every request, to whatever address, goes this one way.

    An oversized or misdirected request is refused before its body is taken in (R126).

    Attributes
    ----------
    route : Route or None
    call : Call or None
        Once the caller is known.
    status : int
        Of the answer, as soon as it began.
    """

    def __init__(self, intake: Intake, connection: HTTPConnection, server_connection: object) -> None:
        self.house = intake.house
        self.route: Route | None = None
        self.call: Call | None = None
        self.status = 0
        self.proxied = False
        self._intake, self._connection, self._server_connection = intake, connection, server_connection
        self._refusal: Problem | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._begun = self._finished = False

    # -- what Tornado calls ----------------------------------------------------------------------------------------

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        assert isinstance(start_line, RequestStartLine)
        request = self.request = HTTPServerRequest(start_line=start_line, headers=headers, connection=self._connection)
        address, self._segments = self._intake.find(request.path)
        self.proxied = address.proxied
        self.route = address.routes.get(start_line.method)
        body_comes = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
        try:
            self._look(address.routes)
        except Problem as problem:
            self._refusal = problem
            if body_comes:
                self._problem(problem)
            return
        if body_comes:
            self._intake.begun(self._server_connection)

    def data_received(self, chunk: bytes) -> None:
        if self.route is None or self._finished:
            return
        self._size += len(chunk)
        if self._size > self.route.max_body:
            self._parts.clear()
            self._problem(TooLarge(f"the body has more than {self.route.max_body} bytes"))
            return
        self._parts.append(chunk)

    def finish(self) -> None:
        self._intake.on_close(self._server_connection)
        if self._refusal is not None:
            self._problem(self._refusal)
        elif not self._finished:
            self._intake.serving.add(self)
            self._task = asyncio.create_task(self._run())

    def on_connection_close(self) -> None:
        self._parts.clear()

    # -- the way of a request --------------------------------------------------------------------------------------

    def _look(self, routes: Mapping[str, Route]) -> None:
        """Refuse what can be refused by the headers alone."""
        request, headers = self.request, self.request.headers
        if self.route is None:
            if not routes:
                raise NotFound("there is nothing at this address")
            raise MethodRefused(f"this address takes {', '.join(sorted(routes))}", more={"allow": sorted(routes)})
        if len(request.uri or "") > MAX_URL:
            raise TooLarge(f"the address has more than {MAX_URL} characters")
        if len(headers) > MAX_HEADERS:
            raise TooLarge(f"the request has more than {MAX_HEADERS} header fields")
        declared = headers.get("Content-Length", "0")
        if declared.isascii() and declared.isdigit() and int(declared) > self.route.max_body:
            raise TooLarge(f"the body has more than {self.route.max_body} bytes")

    async def _run(self) -> None:
        try:
            await self._serve()
        except asyncio.CancelledError as error:
            self._problem(error)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - whatever happened is told, logged and counted by `_problem`
            self._problem(error)
        finally:
            self._intake.serving.discard(self)
            if not self._finished:
                self._connection.close()  # type: ignore[attr-defined]

    async def _serve(self) -> None:
        route, house = self.route, self.house
        assert route is not None
        house.check_open(route)
        caller = await house.roads.identify(route, self.request, proxied=self.proxied)
        with house.limits.admitted(caller):
            call = self.call = Call(
                house,
                route,
                caller,
                content.members(route, self._segments),
                content.body(route, self.request.headers, b"".join(self._parts)),
                content.query(route, self.request.query),
                self.request.headers,
            )
            self._parts.clear()
            if caller.xsrf is not None:
                sent = call.body.xsrf if isinstance(call.body, Form) else self.request.headers.get(XSRF_HEADER)
                house.browsers.check(self.request, caller.xsrf, sent, page=route.page)
            work = route.handle(call)
            answer = await (work if route.in_time else call.within_deadline(work))
            if isinstance(answer, Answer):
                self._answer(answer)
            elif isinstance(answer, Stream):
                await self._stream(answer)
            else:
                self._document(answer)

    # -- answers ---------------------------------------------------------------------------------------------------

    def _headers(self, content_type: str, more: Iterable[tuple[str, str]] = ()) -> HTTPHeaders:
        headers = HTTPHeaders()
        headers["Date"] = _date(int(time.time()))
        for name, value in HEADERS:
            headers[name] = value
        headers["Content-Type"] = content_type
        headers["X-Aizen-Instance"] = self.house.instance
        if self.proxied:
            for name, value in FOR_BROWSERS:
                headers[name] = value
        for name, value in more:
            headers.pop(name, None)
            headers.add(name, value)  # refuses what no header may hold
        return headers

    def _send(self, status: int, body: bytes, headers: HTTPHeaders) -> None:
        if self._finished:
            return
        self.status = status
        if status == HTTPStatus.NO_CONTENT:
            del headers["Content-Type"]
        else:
            headers["Content-Length"] = str(len(body))
        if self.request.method == "HEAD":
            body = b""
        self._begun = True
        # Whether it arrives or its reader is gone is no matter of ours: the connection ends either way.
        self._connection.write_headers(ResponseStartLine("HTTP/1.1", status, responses[status]), headers, body)
        self._end()

    def _end(self) -> None:
        self._finished = True
        self._connection.finish()
        self._intake.note(self)

    def _answer(self, answer: Answer) -> None:
        route = self.route
        status = answer.status or (HTTPStatus.OK if route is None else route.status)
        body = b"" if status == HTTPStatus.NO_CONTENT else encode(answer.value)
        self._send(status, body, self._headers(JSON, answer.headers.items()))

    def _document(self, answer: Document) -> None:
        headers = self._headers(answer.content_type, answer.headers.items())
        for cookie in answer.cookies:
            headers.add("Set-Cookie", cookie)
        self._send(answer.status, answer.body, headers)

    async def _stream(self, answer: Stream) -> None:
        try:
            async for event in answer.events:
                await self._line(event)
        except StreamClosedError:  # its reader has gone
            self._finished = True
            self._connection.close()  # type: ignore[attr-defined]
            self._intake.note(self)
            return
        except Exception as error:  # noqa: BLE001 - the headers are out: the only way left to say it is a last line
            problem = self._expected(error)
            self._line({"event": "end", "state": "unknown", "result": None, "message": problem.detail})
        if not self._begun:
            self._connection.write_headers(_FINE, self._headers(LINES))
        self._end()

    def _line(self, event: Any) -> Future[None]:
        line = encode(event) + b"\n"
        if self._begun:
            return self._connection.write(line)
        self._begun, self.status = True, int(HTTPStatus.OK)
        headers = self._headers(LINES, (("X-Accel-Buffering", "no"),))
        return self._connection.write_headers(_FINE, headers, line)

    def _problem(self, error: BaseException) -> None:
        if self._finished:
            return
        problem = self._expected(error)
        if self._begun:
            self._connection.close()  # type: ignore[attr-defined]
            return
        route = self.route
        if route is not None and route.wraps is not None:
            self._answer(route.wraps(problem))
            return
        if route is not None and route.page and route.media == HTML:
            self._document(failed(self.house, route, self.request, problem))
            return
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
        self._send(status, encode({**problem.to_json(), "status": int(status)}), headers)

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
