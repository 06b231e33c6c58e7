"""The one Tornado handler: from the bytes of a request to a Call, and from an Answer or Problem to bytes."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from sqlalchemy.exc import SQLAlchemyError
from tornado.httputil import HTTPHeaders, format_timestamp, responses
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from aizen_hub.commands import strict_json
from aizen_hub.problems import BadInput, NotAuthenticated, NotFound, Problem, TooLarge, TooMany, Unavailable
from aizen_hub.service.browsers import XSRF_HEADER
from aizen_hub.service.call import Call
from aizen_hub.service.panel.page import HTML, Form, failed
from aizen_hub.service.route import Answer, Credential, Document, Route, Stream
from aizen_hub.service.schemas.base import read_json, read_strings

if TYPE_CHECKING:
    from aizen_hub.service.house import House

log = logging.getLogger("aizen_hub.service")

JSON = "application/json"
PROBLEM = "application/problem+json"
LINES = "application/x-ndjson"
FORM = "application/x-www-form-urlencoded"
MAX_URL = 4096
MAX_HEADERS = 64
MAX_HEADER = 16 << 10
MAX_FIELDS = 64
MAX_SEGMENT = 300

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Type": JSON,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
FOR_BROWSERS: Mapping[str, str] = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class MethodRefused(Problem):
    """This address exists and does not know the method."""

    slug, title, status = "method-not-allowed", "This address does not take that method", 405


class MediaRefused(Problem):
    """The body is not in the one form that this address reads."""

    slug, title, status = "media-type", "The body has the wrong media type", 415


def encode(value: Any) -> bytes:
    """JSON without blanks, in UTF-8; a value that is no JSON is a fault of ours and fails here, not at the client."""
    return _JSON.encode(value).encode()


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return format_timestamp(second)


class Endpoint(RequestHandler):
    """Serves every route of one address; what it answers begins when the whole body is there."""

    proxied = False

    def initialize(self, house: House, routes: Mapping[str, Route], proxied: bool) -> None:
        self.house = house
        self.routes = routes
        self.proxied = proxied
        if proxied:
            self._headers.update(FOR_BROWSERS)
        self.route: Route | None = None
        self.call: Call | None = None

    # -- what Tornado calls ----------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Begin the answer anew, as Tornado's own does, but without naming the program, and with a remembered date."""
        headers = self._headers = HTTPHeaders()
        headers["Date"] = _date(int(time.time()))
        for name, value in HEADERS.items():
            headers[name] = value
        house: House = self.application.settings["house"]
        headers["X-Aizen-Instance"] = house.instance
        if self.proxied:
            headers.update(FOR_BROWSERS)
        self._write_buffer = []
        self._status_code = 200
        self._reason = responses[200]

    def compute_etag(self) -> None:
        """Versions are revisions of the store, never hashes of an answer."""

    def prepare(self) -> None:
        request = self.request
        self.route = self.routes.get(request.method or "")
        if self.route is None:
            if not self.routes:
                raise NotFound("there is nothing at this address")
            allow = ", ".join(sorted(self.routes))
            self.set_header("Allow", allow)
            raise MethodRefused(f"this address takes {allow}", more={"allow": sorted(self.routes)})
        if len(request.uri or "") > MAX_URL:
            raise TooLarge(f"the address has more than {MAX_URL} characters")
        if len(request.headers) > MAX_HEADERS:
            raise TooLarge(f"the request has more than {MAX_HEADERS} header fields")
        declared = request.headers.get("Content-Length", "0")
        if declared.isascii() and declared.isdigit() and int(declared) > self.route.max_body:
            raise TooLarge(f"the body has more than {self.route.max_body} bytes")

    def taken(self) -> bytes:
        """Return the body."""
        return self.request.body

    async def get(self, *args: str) -> None:
        await self._serve(args)

    async def post(self, *args: str) -> None:
        await self._serve(args)

    async def put(self, *args: str) -> None:
        await self._serve(args)

    async def patch(self, *args: str) -> None:
        await self._serve(args)

    async def delete(self, *args: str) -> None:
        await self._serve(args)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else HTTPError(status_code)
        self._problem(error)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Nothing here: ``_problem`` logs what is unexpected, without the request's values (R98)."""

    # -- the way of a request --------------------------------------------------------------------------------------

    async def _serve(self, args: tuple[str, ...]) -> None:
        if self._finished:
            return
        route, house = self.route, self.house
        assert route is not None
        house.check_open(route)
        caller = await house.roads.identify(route, self.request, proxied=self.proxied)
        with house.limits.admitted(caller):
            call = self.call = Call(
                house,
                route,
                caller,
                self._members(route, args),
                self._body(route),
                self._query(route),
                self.request.headers,
            )
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

    def _members(self, route: Route, args: tuple[str, ...]) -> dict[str, str]:
        members = dict(zip(route.members(), args, strict=True))
        for name, value in members.items():
            if len(value) > MAX_SEGMENT or not value.isprintable():
                raise BadInput(f"the member `{name}` of the address is too long or holds characters that no name has")
        return members

    def _body(self, route: Route) -> Any:
        data = self.taken()
        if route.body is None:
            if data:
                raise BadInput("this address takes no body")
            return None
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        wanted = FORM if route.form else JSON
        if kind != wanted:
            raise MediaRefused(f"this address reads `{wanted}`")
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise MediaRefused("the body must not be compressed")
        if route.form:
            return read_strings(route.body, fields(data))
        # Read twice on purpose: the strict reader refuses what two readers could understand differently, the schema
        # then checks shape and types in compiled code.
        strict_json.loads(data, max_bytes=route.max_body, max_keys=route.max_members)
        return read_json(route.body, data)

    def _query(self, route: Route) -> Any:
        data = (self.request.query or "").encode("latin-1", "replace")
        if route.query is None:
            if data:
                raise BadInput("this address takes no query")
            return None
        return read_strings(route.query, fields(data))

    # -- answers ---------------------------------------------------------------------------------------------------

    def _answer(self, answer: Answer) -> None:
        route = self.route
        if self._finished:
            return
        self.set_status(answer.status or (HTTPStatus.OK if route is None else route.status))
        for name, value in answer.headers.items():
            self.set_header(name, value)
        if self.get_status() == HTTPStatus.NO_CONTENT:
            self.clear_header("Content-Type")
            self.finish()
        else:
            self.finish(encode(answer.value))

    def _document(self, answer: Document) -> None:
        if self._finished:
            return
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        for cookie in answer.cookies:
            self.add_header("Set-Cookie", cookie)
        self.finish(answer.body)

    async def _stream(self, answer: Stream) -> None:
        self.set_header("Content-Type", LINES)
        self.set_header("X-Accel-Buffering", "no")
        try:
            async for event in answer.events:
                self.write(encode(event) + b"\n")
                await self.flush()
        except StreamClosedError:
            return
        except Exception as error:  # noqa: BLE001 - the headers are out: the only way left to say it is a last line
            problem = self._expected(error)
            self.write(encode({"event": "end", "state": "unknown", "result": None, "message": problem.detail}) + b"\n")
        self.finish()

    def _problem(self, error: BaseException) -> None:
        if self._finished:
            return
        problem = self._expected(error)
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
        self.set_status(status)
        self.set_header("Content-Type", PROBLEM)
        if isinstance(problem, NotAuthenticated):
            self.set_header("WWW-Authenticate", _challenge(route))
        elif isinstance(problem, (TooMany, Unavailable)):
            self.set_header("Retry-After", str(int(problem.more.get("retry_after", 1)) or 1))
        if isinstance(problem, MethodRefused):
            self.set_header("Allow", ", ".join(problem.more["allow"]))
        self.finish(encode({**problem.to_json(), "status": int(status)}))

    def _expected(self, error: BaseException) -> Problem:
        """Return the problem to show; what nobody foresaw is logged under an id and shown as that id only."""
        if isinstance(error, Problem) and error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return error
        if isinstance(error, HTTPError):
            return _Plain.of(error.status_code)
        number = secrets.token_hex(8)
        label = self.route.name if self.route else "no route"
        if isinstance(error, TimeoutError):
            log.warning("deadline passed", extra={"data": {"id": number, "route": label}})
            return Unavailable("no answer within the deadline", more={"id": number})
        self.house.metrics.failure(label, type(error).__name__)
        # SQLAlchemy's messages quote statements and their values, so only its own classes and the place are logged.
        kind = "store failed" if isinstance(error, SQLAlchemyError) else "unexpected"
        log.error(
            kind,
            exc_info=None if isinstance(error, SQLAlchemyError) else error,
            extra={"data": {"id": number, "route": label, "class": type(error).__name__}},
        )
        return Unavailable(
            "this could not be done now; nothing was changed unless an answer said so", more={"id": number}
        )


@stream_request_body  # so that an oversized body is refused before it is taken in (R126)
class Streamed(Endpoint):
    """As `Endpoint`, for bodies that may be large: it begins before the body, and counts what comes."""

    def initialize(self, house: House, routes: Mapping[str, Route], proxied: bool) -> None:
        super().initialize(house, routes, proxied)
        self._parts: list[bytes] = []
        self._size = 0

    def prepare(self) -> None:
        super().prepare()
        if self.route is not None and self.route.body is not None:
            self.house.reading[self] = time.monotonic()

    def data_received(self, chunk: bytes) -> None:
        if self.route is None or self._finished:
            return
        self._size += len(chunk)
        if self._size > self.route.max_body:
            self._parts.clear()
            self._problem(TooLarge(f"the body has more than {self.route.max_body} bytes"))
            return
        self._parts.append(chunk)

    def taken(self) -> bytes:
        self.house.reading.pop(self, None)
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def on_connection_close(self) -> None:
        self.house.reading.pop(self, None)

    def hang_up(self) -> None:
        """Close the connection of a client that takes too long to send its request."""
        self.request.connection.close()  # type: ignore[union-attr]


class _Plain(Problem):
    @classmethod
    def of(cls, status: int) -> Problem:
        """A problem for what Tornado itself refuses."""
        if status == HTTPStatus.NOT_FOUND:
            return NotFound("there is nothing at this address")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodRefused("this address does not take that method", more={"allow": []})
        return BadInput("the request cannot be read")


def _challenge(route: Route | None) -> str:
    scheme = (
        "token"
        if route is not None
        and Credential.HUB_TOKEN in route.takes
        and not route.takes - {Credential.HUB_TOKEN, Credential.BROWSER}
        else "Bearer"
    )
    return f'{scheme} realm="aizen"'


def fields(data: bytes) -> dict[str, str]:
    """Read a query or form; a repeated member, text that is not UTF-8 or too many members are refused.

    Raises
    ------
    BadInput
    """
    try:
        pairs = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(data),
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise BadInput("the query or form cannot be read") from None
    out = dict(pairs)
    if len(out) != len(pairs):
        raise BadInput("a member of the query or form stands twice")
    return out
