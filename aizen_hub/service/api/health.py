"""Life signs, figures and the description of the API."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from aizen_hub.problems import Unavailable
from aizen_hub.service.call import Call
from aizen_hub.service.openapi import document
from aizen_hub.service.route import ROAD, Answer, Credential, Document, Route
from aizen_hub.service.schemas.health import Health
from aizen_hub.store.transaction import Read

if TYPE_CHECKING:
    from aizen_hub.service.house import House

NOBODY = frozenset({Credential.NONE})


async def livez(call: Call) -> Answer:
    return Answer({"status": "alive", "instance": call.house.instance})


async def readyz(call: Call) -> Answer:
    house = call.house
    if house.sealed is not None:
        more = {"sealed": True, "instance": house.instance}
        raise Unavailable(f"sealed: {house.sealed}", remedy=house.remedy, more=more)
    if house.ending:
        raise Unavailable("ending", more={"instance": house.instance})
    why = await call.look(lambda tx: _unfit(house, tx))
    if why is not None:
        raise Unavailable(why, more={"instance": house.instance})
    return Answer({"status": "ready", "instance": house.instance})


def _unfit(house: House, tx: Read) -> str | None:
    if tx.state.catalog_hash != house.catalog.hash:
        return "another catalog is in force than this service was started with"
    house.clock.look(tx.now)
    return house.clock.fault


async def metrics(call: Call) -> Document:
    return Document(call.house.metrics.page(), call.house.metrics.content_type)


@cache
def _described(url: str) -> bytes:
    from aizen_hub.service.table import routes  # the table holds this very route

    return json.dumps(document(routes(), url), ensure_ascii=False, separators=(",", ":")).encode()


async def openapi(call: Call) -> Document:
    return Document(_described(call.house.settings.service_url), "application/json")


ROUTES = (
    Route("GET", "/livez", NOBODY, ROAD, livez, "Whether the process lives.", answer=Health, always=True),
    Route("GET", "/readyz", NOBODY, ROAD, readyz, "Whether it can decide.", answer=Health, always=True),
    Route("GET", "/metrics", NOBODY, ROAD, metrics, "Figures for Prometheus.", always=True, media="text/plain"),
    Route(
        "GET", "/api/v1/openapi.json", NOBODY, ROAD, openapi, "This document.", always=True, media="application/json"
    ),
)
