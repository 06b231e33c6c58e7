"""Access to the store without an authorization check: only where the credential is the whole right."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from aizen_hub.service.auth.principal import Principal
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.http.route import (
    ANY_REGISTERED,
    CREDENTIAL_SUFFICES,
    DECIDED_BY_COMMAND,
    AuthMethod,
    JsonResponse,
    Requirement,
    RequirementKind,
    Route,
)
from aizen_hub.service.pipeline.request_context import RequestContext, UnauthorizedAccessError
from aizen_hub.service.routes import routes
from aizen_hub.store.actor import Actor
from tests.service.conftest import OPERATOR, Driver

NAMES = {"unauthorized_read", "unauthorized_write"}


async def no_handler(ctx: RequestContext) -> JsonResponse:
    return JsonResponse()


def context(service: ServiceContext, requires: Requirement, auth: AuthMethod) -> RequestContext:
    route = Route("POST", "/x", frozenset({auth}), requires, no_handler, "A route of this test.")
    return RequestContext(service, route, Principal(auth, "127.0.0.1"), {}, None, None, CIMultiDictProxy(CIMultiDict()))


@pytest.mark.parametrize(
    "requires",
    [ANY_REGISTERED, DECIDED_BY_COMMAND, Requirement.endpoint("users"), Requirement.same_as_command("grant")],
    ids=lambda requires: requires.kind.value,
)
async def test_it_is_refused_where_the_route_requires_more(requires: Requirement) -> None:
    service = cast("ServiceContext", SimpleNamespace())  # nothing of it may be reached
    ctx = context(service, requires, AuthMethod.ROLE_TOKEN)
    with pytest.raises(UnauthorizedAccessError, match="POST /x"):
        await ctx.unauthorized_read(lambda tx: tx.revision)
    with pytest.raises(UnauthorizedAccessError, match="POST /x"):
        await ctx.unauthorized_write(OPERATOR, lambda tx: tx.revision)


async def test_it_works_where_the_credential_suffices(service: Driver) -> None:
    ctx = context(service.server.context, CREDENTIAL_SUFFICES, AuthMethod.HUB_SECRET)
    before = service.revision()
    assert await ctx.unauthorized_read(lambda tx: tx.revision) == before
    actor: Actor = OPERATOR
    assert await ctx.unauthorized_write(actor, lambda tx: tx.revision) >= before


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def reachable_names(function: FunctionType) -> set[str]:
    """Every name that a function uses, itself or through other functions of the service."""
    names: set[str] = set()
    seen: set[FunctionType] = set()
    queue: list[Any] = [function]
    while queue:
        current = queue.pop()
        if not isinstance(current, FunctionType) or current in seen:
            continue
        if not current.__module__.startswith("aizen_hub.service"):
            continue
        seen.add(current)
        used = {name for code in codes(current.__code__) for name in code.co_names}
        names |= used
        known = [current.__globals__.get(name) for name in used]
        queue += known
        queue += [getattr(module, name, None) for module in known if isinstance(module, ModuleType) for name in used]
        queue += [cell.cell_contents for cell in current.__closure__ or ()]
    return names


def test_no_handler_of_a_route_that_requires_more_reaches_it() -> None:
    reaching = {route.name for route in routes() if NAMES & reachable_names(cast("FunctionType", route.handler))}
    suffices = {route.name for route in routes() if route.requires.kind is RequirementKind.CREDENTIAL_SUFFICES}
    assert reaching <= suffices
    assert {"POST /api/v1/login", "POST /api/v1/sessions", "GET /readyz", "POST /oauth/token"} <= reaching
