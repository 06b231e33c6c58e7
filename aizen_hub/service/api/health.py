"""Life signs, figures and the description of the API."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from aizen_hub.problems import Unavailable
from aizen_hub.service.api.schemas.health import Health
from aizen_hub.service.auth.rate_limits import Buckets
from aizen_hub.service.clock_check import REMEDY
from aizen_hub.service.http.route import ROAD, Answer, Credential, Document, Route
from aizen_hub.service.openapi import document
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Read

if TYPE_CHECKING:
    from aizen_hub.service.context import House

NOBODY = frozenset({Credential.NONE})
PAGES_PER_SECOND, PAGES_AT_ONCE = 10.0, 20
"""Pages of figures that are made anew; who asks more often gets the last one again."""


class Unfit(NamedTuple):
    """Why it cannot decide, and what helps."""

    why: str
    remedy: str


_looks: WeakKeyDictionary[House, asyncio.Task[Unfit | None]] = WeakKeyDictionary()
_pages: WeakKeyDictionary[House, _Pages] = WeakKeyDictionary()


async def livez(call: Call) -> Answer:
    return Answer({"status": "alive", "instance": call.house.instance})


async def readyz(call: Call) -> Answer:
    house = call.house
    if house.sealed is not None:
        more = {"sealed": True, "instance": house.instance}
        raise Unavailable(f"sealed: {house.sealed}", remedy=house.remedy, more=more)
    if house.ending:
        raise Unavailable("ending", more={"instance": house.instance})
    unfit = await _fitness(call)
    if unfit is not None:
        raise Unavailable(unfit.why, remedy=unfit.remedy, more={"instance": house.instance})
    return Answer({"status": "ready", "instance": house.instance})


async def _fitness(call: Call) -> Unfit | None:
    # No flood of others stands before a probe, so nothing may be gained by a flood of probes: all that come while the
    # store is looked at share the answer.
    house = call.house
    running = _looks.get(house)
    if running is None or running.done():
        running = _looks[house] = asyncio.ensure_future(call.look(lambda tx: _unfit(house, tx)))
        running.add_done_callback(lambda look: look.cancelled() or look.exception())  # nobody may be waiting any more
    return await asyncio.shield(running)


def _unfit(house: House, tx: Read) -> Unfit | None:
    if tx.state.catalog_hash != house.catalog.hash:
        return Unfit("another catalog is in force than this service was started with", "restart it with that one")
    house.clock.look(tx.now)
    fault = house.clock.fault
    return None if fault is None else Unfit(fault, REMEDY)


async def metrics(call: Call) -> Document:
    house = call.house
    pages = _pages.get(house)
    if pages is None:
        pages = _pages[house] = _Pages()
    if not pages.ration.take(""):
        pages.last = house.metrics.page()
    return Document(pages.last, house.metrics.content_type)


class _Pages:
    def __init__(self) -> None:
        self.ration, self.last = Buckets(PAGES_PER_SECOND, PAGES_AT_ONCE), b""


@cache
def _described(url: str, cookie: str) -> bytes:
    from aizen_hub.service.routes import routes

    return json.dumps(document(routes(), url, cookie), ensure_ascii=False, separators=(",", ":")).encode()


async def openapi(call: Call) -> Document:
    return Document(_described(call.house.settings.service_url, call.house.browsers.cookie), "application/json")


ROUTES = (
    Route(
        "GET", "/livez", NOBODY, ROAD, livez, "Whether the process lives.",
        answer=Health, always=True, rationed=False,
    ),
    Route(
        "GET", "/readyz", NOBODY, ROAD, readyz, "Whether it can decide.",
        answer=Health, always=True, rationed=False,
    ),
    Route(
        "GET", "/metrics", NOBODY, ROAD, metrics, "Figures for Prometheus.",
        always=True, rationed=False, media="text/plain",
    ),
    Route(
        "GET", "/api/v1/openapi.json", NOBODY, ROAD, openapi, "This document.", always=True, media="application/json"
    ),
)  # fmt: skip
