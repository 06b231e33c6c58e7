"""Routes as data: the credentials that an address accepts, what it requires, and what it answers (R60)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aizen_hub.api_models.schema import ResponseModel, Schema
from aizen_hub.validation import strict_json


class AuthMethod(StrEnum):
    """Types of credentials; an address accepts none that it does not declare (T-13, T-49)."""

    __hash__ = str.__hash__  # that of `Enum` is not compiled, and every request is looked up by its type

    NONE = "none"
    HUB_SECRET = "hub-secret"  # noqa: S105 - a type of credential, not a secret
    ROLE_TOKEN = "role-token"  # noqa: S105
    SERVICE_ACCOUNT = "service-account"
    CORE = "core"
    HUB_TOKEN = "hub-token"  # noqa: S105
    BROWSER = "browser"


DIRECT_METHODS = frozenset({AuthMethod.HUB_SECRET, AuthMethod.ROLE_TOKEN, AuthMethod.SERVICE_ACCOUNT, AuthMethod.CORE})
"""Accepted at the service's own address only."""
PROXIED_METHODS = frozenset({AuthMethod.HUB_TOKEN, AuthMethod.BROWSER})
"""Accepted below the hub's proxy only."""
ROLE_CHECKED_METHODS = frozenset(
    {AuthMethod.ROLE_TOKEN, AuthMethod.SERVICE_ACCOUNT, AuthMethod.HUB_TOKEN, AuthMethod.BROWSER}
)
"""Those of principals whose roles decide what they may do."""


class RequirementKind(StrEnum):
    CREDENTIAL_SUFFICES = "credential"  # the credential is the whole right; no principal with roles uses the address
    ANY_REGISTERED = "registered"  # open to every registered, active, unlocked identity, about itself
    COMMAND = "command"  # decided by the catalog entry of the command in the body
    ENDPOINT = "endpoint"  # an action that is no command; the catalog's ``endpoints`` name its permission
    SAME_AS_COMMAND = "same-as-command"  # the permission of the command that has this handler


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a principal needs besides its credential.

    Attributes
    ----------
    kind : RequirementKind
    name : str
        Of the endpoint or command handler in the catalog: permissions themselves are named in the catalog only.
    scope : str
        ``system``, or the name of the path, query or body parameter that holds the project. If that is absent, the
        scope is the system.
    """

    kind: RequirementKind
    name: str = ""
    scope: str = "system"

    @classmethod
    def endpoint(cls, name: str, scope: str = "system") -> Requirement:
        return cls(RequirementKind.ENDPOINT, name, scope)

    @classmethod
    def same_as_command(cls, handler: str, scope: str = "system") -> Requirement:
        return cls(RequirementKind.SAME_AS_COMMAND, handler, scope)


CREDENTIAL_SUFFICES = Requirement(RequirementKind.CREDENTIAL_SUFFICES)
ANY_REGISTERED = Requirement(RequirementKind.ANY_REGISTERED)
DECIDED_BY_COMMAND = Requirement(RequirementKind.COMMAND)


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """A JSON value, or no content; without a status, it has the one that the route declares."""

    value: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NdjsonResponse:
    """A stream of JSON lines."""

    events: AsyncIterator[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response that is not JSON: metrics, a page, a file."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    cookies: tuple[str, ...] = ()


# The argument is a `pipeline.request_context.RequestContext`, which is built on this module.
Handler = Callable[[Any], Awaitable[JsonResponse | NdjsonResponse | RawResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address.

    Attributes
    ----------
    method, path : str
        The path has ``{parameters}``. It is reached at the service's own address and below the proxy's prefix, each
        where a credential of that side is accepted.
    auth : frozenset of AuthMethod
    requires : Requirement
    handler : async function of a RequestContext
    summary : str
        For the OpenAPI document.
    body, query, response : Schema type or None
    status : int
        Of a response that names none.
    form : bool
        The body is ``application/x-www-form-urlencoded`` (OAuth, forms) instead of JSON.
    streams : bool
        It may respond with JSON lines.
    max_body : int
        Bytes.
    max_members : int
        Members of all objects of the body together (R110).
    parsed_in_thread : bool
        The body can be so large that the event loop must not parse it.
    idempotent : bool
        A write that accepts an ``Idempotency-Key``.
    if_match : bool
        A replacement that accepts ``If-Match``.
    available_when_sealed : bool
        Also answered while the service is sealed (R7).
    rate_limited : bool
        Whether requests without a credential count against the rate limit of their client address, which all clients
        behind that address share. False for cheap endpoints that must always answer, and for those whose handler limits
        the principal that it authenticates itself.
    own_deadline : bool
        The handler keeps the deadline itself: everything that it awaits does.
    checks_credential : bool
        The handler does nothing without a decision on `RequestDecisions.decision_request`, which checks the credential
        of a service account in the transaction that decides. So one that was valid earlier is not looked up before.
    media_type : str or None
        Of a response that is not JSON.
    browser_page : bool
        For browsers: reached below the proxy's prefix although it is not part of the API.
    error_formatter : callable or None
        Turns a Problem into another error document (RFC 6749, 5.2).
    """

    method: str
    path: str
    auth: frozenset[AuthMethod]
    requires: Requirement
    handler: Handler
    summary: str
    body: type[Schema] | None = None
    query: type[Schema] | None = None
    response: type[ResponseModel] | None = None
    status: int = 200
    form: bool = False
    streams: bool = False
    max_body: int = 64 << 10
    max_members: int = strict_json.MAX_KEYS
    parsed_in_thread: bool = False
    idempotent: bool = False
    if_match: bool = False
    available_when_sealed: bool = False
    rate_limited: bool = True
    own_deadline: bool = False
    checks_credential: bool = False
    media_type: str | None = None
    browser_page: bool = False
    error_formatter: Callable[[Exception], JsonResponse] | None = None

    @property
    def name(self) -> str:
        """A label for metrics, logs and the OpenAPI document; never user-controlled."""
        return f"{self.method} {self.path}"

    def path_params(self) -> tuple[str, ...]:
        """Names of the parameters of the path, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


class RouteError(ValueError):
    """A route lacks a declaration; the service does not start (R60)."""


def check_routes(routes: tuple[Route, ...]) -> None:
    """Refuse a table in which a route lacks a declaration, contradicts itself or is defined twice.

    Raises
    ------
    RouteError
    """
    seen: set[tuple[str, str]] = set()
    for route in routes:
        _check_route(route)
        key = (route.method, "/".join("{}" if part.startswith("{") else part for part in route.path.split("/")))
        if key in seen:
            raise RouteError(f"{route.name}: is defined twice")
        seen.add(key)


def _check_route(route: Route) -> None:
    def fail(what: str) -> None:
        raise RouteError(f"{route.name}: {what}")

    kind = route.requires.kind if isinstance(route.requires, Requirement) else None
    if (
        not isinstance(route.auth, frozenset)
        or not route.auth
        or not all(isinstance(method, AuthMethod) for method in route.auth)
    ):
        fail("declares no credential; an address without one declares AuthMethod.NONE")
    if kind is None:
        fail("declares no requirement")
    if AuthMethod.NONE in route.auth and len(route.auth) > 1:
        fail("accepts a credential and none")
    if kind is RequirementKind.CREDENTIAL_SUFFICES and route.auth & ROLE_CHECKED_METHODS:
        fail("accepts principals with roles, so the credential alone is no right")
    if kind is not RequirementKind.CREDENTIAL_SUFFICES and not route.auth <= ROLE_CHECKED_METHODS:
        fail("requires a role of a principal that has none")
    if (kind in (RequirementKind.ENDPOINT, RequirementKind.SAME_AS_COMMAND)) != bool(route.requires.name):
        fail("does not name the endpoint or command handler whose permission it requires")
    if route.method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
        fail("has no such method")
    if route.method == "GET" and (route.body or route.idempotent):
        fail("changes nothing, so it takes no body and no key")
    if not route.summary:
        fail("has no summary")
