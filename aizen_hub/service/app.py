"""The Tornado application, made of the table of routes and nothing else."""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tornado.web import Application, RequestHandler, URLSpec

from aizen_hub.service.handler import Endpoint, Streamed
from aizen_hub.service.intake import Intake
from aizen_hub.service.route import AT_ROOT, THROUGH_PROXY, Credential, Route, check
from aizen_hub.service.table import routes

if TYPE_CHECKING:
    from aizen_hub.service.house import House

log = logging.getLogger("aizen_hub.service.access")


def make_app(house: House) -> Application:
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
    addresses = _addresses(table, house, "", AT_ROOT | {Credential.NONE}, proxied=False) | _addresses(
        [one for one in table if one.path.startswith("/api/") or one.page],
        house,
        house.prefix.rstrip("/"),
        THROUGH_PROXY | {Credential.NONE},
        proxied=True,
    )
    return Intake(
        [URLSpec(_pattern(path), Streamed, given) for path, given in addresses.items()],
        {path: given for path, given in addresses.items() if "{" not in path},
        default_handler_class=Streamed,
        default_handler_args={"house": house, "routes": {}, "proxied": False},
        log_function=_log,
        house=house,
        compress_response=False,
        serve_traceback=False,
    )


def _addresses(
    table: list[Route] | tuple[Route, ...], house: House, prefix: str, side: frozenset[Credential], *, proxied: bool
) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Route]] = defaultdict(dict)
    for route in table:
        if route.takes & side:
            paths[prefix + route.path][route.method] = route
    return {path: {"house": house, "routes": methods, "proxied": proxied} for path, methods in paths.items()}


def _pattern(path: str) -> str:
    return "/".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in path.split("/"))


def _log(handler: RequestHandler) -> None:
    if not isinstance(handler, Endpoint):
        return
    route, call, request = handler.route, handler.call, handler.request
    label = route.name if route is not None else "no route"
    seconds = time.time() - request._start_time  # what Tornado's own request_time() reads
    status = handler.get_status()
    handler.house.metrics.request(label, status, seconds)
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
        "source": request.remote_ip,
    }
    if call is not None:
        actor = call.caller.actor
        data |= {
            "decision": call.decision,
            "identity": None if actor is None else str(actor.identity),
            "session": call.caller.session,
        }
    log.log(level, "answered", extra={"data": data})
