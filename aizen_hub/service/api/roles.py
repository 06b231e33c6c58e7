"""Built-in and custom roles."""

from __future__ import annotations

from aizen_hub.accounts.roles import roles
from aizen_hub.service.api.change_response import change, if_match
from aizen_hub.service.api.schemas.access import Clone, NewRole, RoleChange
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call


async def listing(call: Call) -> Answer:
    return await change(call, roles.catalogue)


async def create(call: Call) -> Answer:
    body = call.body
    return await change(
        call,
        lambda tx: roles.create(
            tx,
            body.name,
            permissions=body.permissions,
            limits=body.limits,
            scopes=body.scopes,
            description=body.description,
            category=body.category,
        ),
        201,
    )


async def alter(call: Call) -> Answer:
    body, version = call.body, if_match(call)
    return await change(
        call,
        lambda tx: roles.alter(
            tx,
            call.members["role"],
            permissions=body.permissions,
            limits=body.limits,
            description=body.description,
            category=body.category,
            if_match=version,
        ),
    )


async def clone(call: Call) -> Answer:
    return await change(call, lambda tx: roles.clone(tx, call.members["role"], call.body.name), 201)


async def remove(call: Call) -> Answer:
    return await change(call, lambda tx: roles.remove(tx, call.members["role"]))


ROLES = Need.operation("roles")

ROUTES = (
    Route("GET", "/api/v1/roles", PEOPLE, REGISTERED, listing, "List all roles.", answer=ResultView),
    Route(
        "POST",
        "/api/v1/roles",
        PEOPLE,
        ROLES,
        create,
        "Make a custom role.",
        body=NewRole,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "PATCH",
        "/api/v1/roles/{role}",
        PEOPLE,
        ROLES,
        alter,
        "Change a custom role.",
        body=RoleChange,
        answer=ResultView,
        keyed=True,
        versioned=True,
    ),
    Route(
        "POST",
        "/api/v1/roles/{role}/clone",
        PEOPLE,
        ROLES,
        clone,
        "Copy a role.",
        body=Clone,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "DELETE",
        "/api/v1/roles/{role}",
        PEOPLE,
        ROLES,
        remove,
        "Delete a custom role.",
        answer=ResultView,
        keyed=True,
    ),
)
