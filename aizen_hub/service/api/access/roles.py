"""Routes for built-in and custom roles, and for permissions."""

from __future__ import annotations

from aizen_hub.accounts.roles import custom_roles, lookup, permissions, role_permissions
from aizen_hub.service.api.change_response import authorized_result, parse_if_match
from aizen_hub.service.api.schemas.access import NewPermission, NewRole, RoleCopy, RolePermission, RoleUpdate
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext


async def list_roles(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lookup.list_roles)


async def create_role(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: custom_roles.create_role(
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


async def update_role(ctx: RequestContext) -> JsonResponse:
    body, version = ctx.body, parse_if_match(ctx)
    return await authorized_result(
        ctx,
        lambda tx: custom_roles.update_role(
            tx,
            ctx.path_params["role"],
            permissions=body.permissions,
            limits=body.limits,
            description=body.description,
            category=body.category,
            if_match=version,
        ),
    )


async def clone_role(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: custom_roles.clone_role(tx, ctx.path_params["role"], ctx.body.name), 201
    )


async def delete_role(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: custom_roles.delete_role(tx, ctx.path_params["role"]))


async def show_role(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: role_permissions.show_role(tx, ctx.path_params["role"]))


async def assign_permission(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: role_permissions.assign_permission(tx, ctx.path_params["role"], ctx.body.permission)
    )


async def remove_permission(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: role_permissions.remove_permission(tx, ctx.path_params["role"], ctx.body.permission)
    )


async def list_permissions(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, permissions.list_permissions)


async def create_permission(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: permissions.create_permission(
            tx,
            body.name,
            permission=body.permission,
            limit=body.limit,
            value=body.value,
            description=body.description,
        ),
        201,
    )


async def delete_permission(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: permissions.delete_permission(tx, ctx.path_params["permission"]))


ROLES = Requirement.endpoint("roles")

ROUTES = (
    Route(
        "GET", "/api/v1/roles", ROLE_CHECKED_METHODS, ANY_REGISTERED, list_roles, "List all roles.", response=ResultView
    ),
    Route(
        "POST",
        "/api/v1/roles",
        ROLE_CHECKED_METHODS,
        ROLES,
        create_role,
        "Create a custom role.",
        body=NewRole,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "PATCH",
        "/api/v1/roles/{role}",
        ROLE_CHECKED_METHODS,
        ROLES,
        update_role,
        "Change a custom role.",
        body=RoleUpdate,
        response=ResultView,
        idempotent=True,
        if_match=True,
    ),
    Route(
        "POST",
        "/api/v1/roles/{role}/clone",
        ROLE_CHECKED_METHODS,
        ROLES,
        clone_role,
        "Copy a role.",
        body=RoleCopy,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "DELETE",
        "/api/v1/roles/{role}",
        ROLE_CHECKED_METHODS,
        ROLES,
        delete_role,
        "Delete a custom role.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        "/api/v1/roles/{role}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_role,
        "List the permissions of a role.",
        response=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/roles/{role}/permissions",
        ROLE_CHECKED_METHODS,
        ROLES,
        assign_permission,
        "Add a permission to a custom role.",
        body=RolePermission,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "POST",
        "/api/v1/roles/{role}/permissions/remove",
        ROLE_CHECKED_METHODS,
        ROLES,
        remove_permission,
        "Remove a permission from a custom role.",
        body=RolePermission,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        "/api/v1/permissions",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_permissions,
        "List all permissions: those with a name, and those that commands require.",
        response=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/permissions",
        ROLE_CHECKED_METHODS,
        ROLES,
        create_permission,
        "Create a custom permission.",
        body=NewPermission,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "DELETE",
        "/api/v1/permissions/{permission}",
        ROLE_CHECKED_METHODS,
        ROLES,
        delete_permission,
        "Delete a custom permission.",
        response=ResultView,
        idempotent=True,
    ),
)
