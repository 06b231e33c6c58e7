"""The application, made of the table of routes and nothing else."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aizen_hub.service.http.route import AT_ROOT, THROUGH_PROXY, Credential, Route, check
from aizen_hub.service.pipeline.endpoint import Endpoint
from aizen_hub.service.pipeline.router import Address, Intake
from aizen_hub.service.routes import routes

if TYPE_CHECKING:
    from aizen_hub.service.context import House

log = logging.getLogger("aizen_hub.service.access")


def make_app(house: House) -> Intake:
    """Build the application.

    Every route of the table is reached at the service's own address for the credentials of that side, and below the
    proxy's prefix for those of the other; an address or method outside the table is refused (R60).

    Raises
    ------
    RouteError
        A route does not declare what it takes and needs.
    """
    table = routes()
    check(table)
    addresses = _addresses(table, "", AT_ROOT | {Credential.NONE}, proxied=False) | _addresses(
        [one for one in table if one.path.startswith("/api/") or one.page],
        house.prefix.rstrip("/"),
        THROUGH_PROXY | {Credential.NONE},
        proxied=True,
    )
    return Intake(house, addresses, _note)


def _addresses(
    table: Iterable[Route], prefix: str, side: frozenset[Credential], *, proxied: bool
) -> dict[str, Address]:
    paths: dict[str, dict[str, Route]] = defaultdict(dict)
    for route in table:
        if route.takes & side:
            paths[prefix + route.path][route.method] = route
    return {path: Address(methods, proxied) for path, methods in paths.items()}


def _note(endpoint: Endpoint) -> None:
    route, call, request, status = endpoint.route, endpoint.call, endpoint.request, endpoint.status
    label = route.name if route is not None else "no route"
    seconds = request.seconds
    endpoint.house.metrics.request(label, status, seconds)
    level = (
        logging.WARNING
        if status >= 500
        else logging.INFO
        if status >= 400 or (route and route.keyed)
        else logging.DEBUG
    )
    if not log.isEnabledFor(level):
        return
    data: dict[str, object] = {
        "route": label,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "source": endpoint.house.roads.source(request, proxied=endpoint.proxied),
    }
    if call is not None:
        actor = call.caller.actor
        data |= {
            "decision": call.decision,
            "identity": None if actor is None else str(actor.identity),
            "session": call.caller.session,
        }
    log.log(level, "answered", extra={"data": data})
