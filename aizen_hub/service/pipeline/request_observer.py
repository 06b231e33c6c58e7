"""Metrics and the access log of requests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from aizen_hub.service.pipeline.endpoint import RequestState
from aizen_hub.service.runtime.metrics import Metrics

NO_ROUTE = "no route"
access_log = logging.getLogger("aizen_hub.service.access")


class RequestObserver:
    """Measures, counts and logs every request.

    Parameters
    ----------
    metrics : Metrics
    client_address : callable
        Returns the client address of a request for the log (R121).
    """

    def __init__(self, metrics: Metrics, client_address: Callable[..., str]) -> None:
        self._metrics, self._client_address = metrics, client_address

    def record(self, request: web.Request, state: RequestState, status: int, seconds: float) -> None:
        """Count and log one request, and end its span."""
        if state.span is not None:
            state.span.end(status, None if state.context is None else state.context.decision_id)
        route = None if state.endpoint is None else state.endpoint.route
        label = NO_ROUTE if route is None else route.name
        self._metrics.requests.count_request(label, status, seconds)
        level = logging.DEBUG
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            level = logging.WARNING
        elif status >= HTTPStatus.BAD_REQUEST or (route is not None and route.idempotent):
            level = logging.INFO
        if not access_log.isEnabledFor(level):
            return
        proxied = state.endpoint is not None and state.endpoint.proxied
        data: dict[str, object] = {
            "route": label,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "source": self._client_address(request, proxied=proxied),
        }
        if state.context is not None:
            actor = state.context.principal.actor
            data |= {
                "decision": state.context.decision_id,
                "identity": None if actor is None else str(actor.identity),
                "session": state.context.principal.session_id,
            }
        access_log.log(level, "answered", extra={"data": data})
