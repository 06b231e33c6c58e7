"""Routes are data: what an address takes, what it needs and what it answers, declared where it is written (R60)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aizen_hub.service.http.schema import Open, Schema
from aizen_hub.validation import strict_json

if TYPE_CHECKING:
    from aizen_hub.service.pipeline.request_context import Call


class Credential(StrEnum):
    """What can prove a caller; no address takes one that it does not declare (T-13, T-49)."""

    NONE = "none"
    HUB_SECRET = "hub-secret"  # noqa: S105 - the name of a road, not a secret
    ROLE_TOKEN = "role-token"  # noqa: S105
    SERVICE_ACCOUNT = "service-account"
    CORE = "core"
    HUB_TOKEN = "hub-token"  # noqa: S105
    BROWSER = "browser"


AT_ROOT = frozenset({Credential.HUB_SECRET, Credential.ROLE_TOKEN, Credential.SERVICE_ACCOUNT, Credential.CORE})
"""Taken at the service's own address only."""
THROUGH_PROXY = frozenset({Credential.HUB_TOKEN, Credential.BROWSER})
"""Taken under the hub's proxy only."""
PEOPLE = frozenset({Credential.ROLE_TOKEN, Credential.SERVICE_ACCOUNT, Credential.HUB_TOKEN, Credential.BROWSER})
"""Everybody who is judged by roles."""


class Kind(StrEnum):
    ROAD = "road"  # the credential itself is the right; nobody judged by roles comes this way
    REGISTERED = "registered"  # open to every registered, active, unlocked identity, about itself
    COMMAND = "command"  # decided by the catalog entry of the command in the body
    OPERATION = "operation"  # an action that is no command; the catalog's ``endpoints`` say which permission
    HANDLER = "handler"  # the same as the command that this account function carries out


@dataclass(frozen=True, slots=True)
class Need:
    """What a caller needs, beside a credential.

    Attributes
    ----------
    name : str
        Of the operation or account function: permissions themselves stand in the catalog only.
    scope : str
        ``system``, or the name of the path, query or body member that holds the project. A member that is absent means
        the system.
    """

    kind: Kind
    name: str = ""
    scope: str = "system"

    @classmethod
    def operation(cls, name: str, scope: str = "system") -> Need:
        return cls(Kind.OPERATION, name, scope)

    @classmethod
    def like(cls, handler: str, scope: str = "system") -> Need:
        return cls(Kind.HANDLER, handler, scope)


ROAD = Need(Kind.ROAD)
REGISTERED = Need(Kind.REGISTERED)
COMMAND = Need(Kind.COMMAND)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a JSON value, or nothing; without a status, with the one that the route declares."""

    value: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer of JSON lines that grows while it is read."""

    events: AsyncIterator[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Document:
    """An answer that is not JSON: the metrics, a page."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    cookies: tuple[str, ...] = ()


Handle = Callable[["Call"], Awaitable[Answer | Stream | Document]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address.

    Attributes
    ----------
    path : str
        With ``{members}``; below the root address, and below the proxy's prefix where a credential of that side is
        taken.
    takes : frozenset of Credential
    needs : Need
    handle : async function of a Call
    body, query, answer : Schema type or None
    form : bool
        The body is ``application/x-www-form-urlencoded`` (OAuth) instead of JSON.
    stream : bool
        It may answer JSON lines.
    max_body : int
        Bytes.
    max_members : int
        Members of all objects of the body together (R110).
    keyed : bool
        A write that takes an ``Idempotency-Key``.
    versioned : bool
        A replacement that takes ``If-Match``.
    media : str or None
        Media type of an answer that is not JSON.
    page : bool
        For browsers: reached below the proxy's prefix although it is no part of the API.
    in_time : bool
        Keeps the deadline by itself: everything that it waits for does.
    always : bool
        Answers also while the service is sealed (R7).
    rationed : bool
        Without a credential it takes from the bucket of its source, which everybody behind that address shares. False
        for what must always be heard and costs little, and for what the handler limits by whom it turns out to be.
    wraps : callable or None
        Turns a Problem into another error document (RFC 6749, 5.2); gets the problem, returns an Answer.
    """

    method: str
    path: str
    takes: frozenset[Credential]
    needs: Need
    handle: Handle
    summary: str
    body: type[Schema] | None = None
    query: type[Schema] | None = None
    answer: type[Open] | None = None
    status: int = 200
    form: bool = False
    stream: bool = False
    max_body: int = 64 << 10
    max_members: int = strict_json.MAX_KEYS
    keyed: bool = False
    versioned: bool = False
    always: bool = False
    rationed: bool = True
    in_time: bool = False
    media: str | None = None
    page: bool = False
    wraps: Callable[[Exception], Answer] | None = None

    @property
    def name(self) -> str:
        """A label for metrics, logs and the OpenAPI document; never user-controlled."""
        return f"{self.method} {self.path}"

    def members(self) -> tuple[str, ...]:
        """Names of the members of the path, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


class RouteError(ValueError):
    """A route does not declare what it must; the service does not start (R60)."""


def check(routes: tuple[Route, ...]) -> None:
    """Refuse a table in which a route misses a declaration, contradicts itself or stands twice.

    Raises
    ------
    RouteError
    """
    seen: set[tuple[str, str]] = set()
    for route in routes:
        _check_one(route)
        key = (route.method, "/".join("{}" if part.startswith("{") else part for part in route.path.split("/")))
        if key in seen:
            raise RouteError(f"{route.name}: stands twice in the table")
        seen.add(key)


def _check_one(route: Route) -> None:
    def fail(what: str) -> None:
        raise RouteError(f"{route.name}: {what}")

    if (
        not isinstance(route.takes, frozenset)
        or not route.takes
        or not all(isinstance(c, Credential) for c in route.takes)
    ):
        fail("declares no credential; one that takes none says so with Credential.NONE")
    if not isinstance(route.needs, Need):
        fail("declares no permission")
    if Credential.NONE in route.takes and len(route.takes) > 1:
        fail("takes a credential and none")
    if route.needs.kind is Kind.ROAD and route.takes & PEOPLE:
        fail("people come this way, so the road alone is no right")
    if route.needs.kind is not Kind.ROAD and not route.takes <= PEOPLE:
        fail("only people are judged by roles")
    if (route.needs.kind in (Kind.OPERATION, Kind.HANDLER)) != bool(route.needs.name):
        fail("does not name the operation or account function that it needs")
    if route.method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
        fail("has no such method")
    if route.method == "GET" and (route.body or route.keyed):
        fail("changes nothing, so it takes no body and no key")
    if not route.summary:
        fail("says nothing about itself")
