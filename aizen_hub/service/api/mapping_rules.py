"""Rules that map groups of a provider to roles; `Prefer: dry-run` shows who gains and who loses."""

from __future__ import annotations

from aizen_hub.accounts.groups import mapping_rules as mappings
from aizen_hub.service.api.change_response import change, number_in
from aizen_hub.service.api.schemas.mapping_rules import NewMapping
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call

GROUPS = Need.operation("groups")


async def list_rules(call: Call) -> Answer:
    return await change(call, mappings.list_rules)


async def put(call: Call) -> Answer:
    body = call.body
    return await change(call, lambda tx: mappings.put(tx, body.provider, body.group, body.role, body.project), 201)


async def remove(call: Call) -> Answer:
    number = number_in(call, "mapping", "mapping rule")
    return await change(call, lambda tx: mappings.remove(tx, number))


_M = "/api/v1/mappings"

ROUTES = (
    Route("GET", _M, PEOPLE, GROUPS, list_rules, "List the mapping rules.", answer=ResultView),
    Route(
        "POST",
        _M,
        PEOPLE,
        GROUPS,
        put,
        "Map a group of a provider to a role in a project.",
        body=NewMapping,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route("DELETE", _M + "/{mapping}", PEOPLE, GROUPS, remove, "Delete a mapping rule.", answer=ResultView, keyed=True),
)
