"""Routes for rules that map groups of a provider to roles; ``Prefer: dry-run`` shows gained and lost rights."""

from __future__ import annotations

from aizen_hub.accounts.groups import mapping_rules
from aizen_hub.service.api.change_response import authorized_result, id_param
from aizen_hub.service.api.schemas.mapping_rules import NewMapping
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext

GROUPS = Requirement.endpoint("groups")


async def list_rules(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, mapping_rules.list_rules)


async def create_rule(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx, lambda tx: mapping_rules.create_rule(tx, body.provider, body.group, body.role, body.project), 201
    )


async def delete_rule(ctx: RequestContext) -> JsonResponse:
    rule_id = id_param(ctx, "mapping", "mapping rule")
    return await authorized_result(ctx, lambda tx: mapping_rules.delete_rule(tx, rule_id))


_PATH = "/api/v1/mappings"

ROUTES = (
    Route("GET", _PATH, ROLE_CHECKED_METHODS, GROUPS, list_rules, "List the mapping rules.", response=ResultView),
    Route(
        "POST",
        _PATH,
        ROLE_CHECKED_METHODS,
        GROUPS,
        create_rule,
        "Map a group of a provider to a role in a project.",
        body=NewMapping,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "DELETE",
        _PATH + "/{mapping}",
        ROLE_CHECKED_METHODS,
        GROUPS,
        delete_rule,
        "Delete a mapping rule.",
        response=ResultView,
        idempotent=True,
    ),
)
