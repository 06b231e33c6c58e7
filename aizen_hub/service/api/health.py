"""Routes for health checks and metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.service.api.schemas.health import Health
from aizen_hub.service.auth.rate_limits import TokenBuckets
from aizen_hub.service.http.headers import joined_header
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, RawResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.service.replicas import find_conflict
from aizen_hub.service.runtime.clock_check import REMEDY
from aizen_hub.store.transaction import ReadTransaction
from aizen_hub.tokens.opaque_token import constant_time_equals

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext

WITHOUT_CREDENTIAL = frozenset({AuthMethod.NONE})
METRICS_PATH = "/metrics"
SCRAPES_PER_SECOND, SCRAPE_BURST = 10.0, 20
"""Metrics are computed this often; more frequent requests get the last result."""


class NotReady(NamedTuple):
    """The reason why the service cannot decide, and the remedy."""

    reason: str
    remedy: str


_checks: WeakKeyDictionary[ServiceContext, asyncio.Task[NotReady | None]] = WeakKeyDictionary()
_expositions: WeakKeyDictionary[ServiceContext, _Exposition] = WeakKeyDictionary()


async def livez(ctx: RequestContext) -> JsonResponse:
    return JsonResponse({"status": "alive", "instance": ctx.service.instance})


async def readyz(ctx: RequestContext) -> JsonResponse:
    service = ctx.service
    if service.state.sealed is not None:
        more = {"sealed": True, "instance": service.instance}
        raise Unavailable(f"sealed: {service.state.sealed}", remedy=service.state.seal_remedy, extensions=more)
    if service.state.draining or service.state.stopping:
        word = "stopping" if service.state.stopping else "draining"
        raise Unavailable(word, extensions={"instance": service.instance})
    not_ready = await _readiness(ctx)
    if not_ready is not None:
        raise Unavailable(not_ready.reason, remedy=not_ready.remedy, extensions={"instance": service.instance})
    return JsonResponse({"status": "ready", "instance": service.instance})


async def _readiness(ctx: RequestContext) -> NotReady | None:
    # Probes are not rate limited, so a flood of them must cost nothing: concurrent probes share one check.
    service = ctx.service
    check = _checks.get(service)
    if check is None or check.done():
        check = asyncio.ensure_future(ctx.unauthorized_read(lambda tx: _check_readiness(service, tx)))
        check.add_done_callback(lambda done: done.cancelled() or done.exception())  # all clients may have gone
        _checks[service] = check
    return await asyncio.shield(check)


def _check_readiness(service: ServiceContext, tx: ReadTransaction) -> NotReady | None:
    if tx.state.catalog_hash != service.catalog.hash:
        return NotReady(
            "the store was changed to another catalog than this service was started with",
            "restart it with that catalog, or run `aizen-hub db adopt-catalog` with its own",
        )
    conflict = None if service.settings.uses_sqlite else find_conflict(tx, service)
    if conflict is not None:
        return NotReady(conflict.sentence, conflict.remedy)
    service.clock.compare_with_store(tx.now)
    fault = service.clock.fault
    return None if fault is None else NotReady(fault, REMEDY)


async def metrics(ctx: RequestContext) -> RawResponse:
    service = ctx.service
    if service.metrics_token is not None:
        _check_token(joined_header(ctx.headers, "Authorization"), service.metrics_token)
    exposition = _expositions.get(service)
    if exposition is None:
        exposition = _expositions[service] = _Exposition()
    if not exposition.rate.take(""):
        exposition.content = service.metrics.exposition()
    return RawResponse(exposition.content, service.metrics.content_type)


def _check_token(authorization: str, expected: str) -> None:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not constant_time_equals(token, expected):
        raise NotAuthenticated(
            "the metrics need their token",
            remedy="send it as `Authorization: Bearer …`; `metrics.token_file` of aizen.yaml names its file",
            extensions={"code": "metrics-token"},
        )


class _Exposition:
    def __init__(self) -> None:
        self.rate, self.content = TokenBuckets(SCRAPES_PER_SECOND, SCRAPE_BURST), b""


ROUTES = (
    Route(
        "GET", "/livez", WITHOUT_CREDENTIAL, CREDENTIAL_SUFFICES, livez, "Liveness of the process.",
        response=Health, available_when_sealed=True, rate_limited=False,
    ),
    Route(
        "GET", "/readyz", WITHOUT_CREDENTIAL, CREDENTIAL_SUFFICES, readyz, "Readiness: whether the service can decide.",
        response=Health, available_when_sealed=True, rate_limited=False,
    ),
    Route(
        "GET", METRICS_PATH, WITHOUT_CREDENTIAL, CREDENTIAL_SUFFICES, metrics, "Metrics in the format of Prometheus.",
        available_when_sealed=True, rate_limited=False, media_type="text/plain",
    ),
)  # fmt: skip
