"""Routes for health checks and metrics."""

from __future__ import annotations

from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.service.api.schemas.health import Health
from aizen_hub.service.http.headers import joined_header
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, RawResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.tokens.opaque_token import constant_time_equals

WITHOUT_CREDENTIAL = frozenset({AuthMethod.NONE})
METRICS_PATH = "/metrics"


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
    not_ready = await service.readiness.result(ctx.unauthorized_read)
    if not_ready is not None:
        raise Unavailable(not_ready.reason, remedy=not_ready.remedy, extensions={"instance": service.instance})
    return JsonResponse({"status": "ready", "instance": service.instance})


async def metrics(ctx: RequestContext) -> RawResponse:
    service = ctx.service
    if service.metrics_token is not None:
        _check_token(joined_header(ctx.headers, "Authorization"), service.metrics_token)
    return RawResponse(service.exposition.read(), service.exposition.content_type)


def _check_token(authorization: str, expected: str) -> None:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not constant_time_equals(token, expected):
        raise NotAuthenticated(
            "the metrics need their token",
            remedy="send it as `Authorization: Bearer …`; `metrics.token_file` of aizen.yaml names its file",
            extensions={"code": "metrics-token"},
        )


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
