"""Routes for the requesting identity itself, and for the catalog."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.roles import limits
from aizen_hub.commands.result import to_json_value
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.schemas.commands import CatalogView, MeView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction

_MAX_ROLES = 1000


async def show_me(ctx: RequestContext) -> JsonResponse:
    actor, token = ctx.actor, ctx.principal.token
    identity = actor.identity

    def operation(tx: ReadTransaction) -> dict[str, Any]:
        users, now = tables.users.c, tx.now
        display_name = None
        if identity.kind is IdentityKind.USER:
            display_name = tx.conn.scalar(select(users.display_name).where(users.name == identity.name))
        held_roles = [role for role in tx.rights(identity).held_roles if role.is_effective(now)][:_MAX_ROLES]
        return {
            "user": identity.name,
            "kind": str(identity.kind),
            "display_name": display_name or identity.name,
            "session": actor.session,
            "project": actor.project,
            "acting": None if actor.acting is None else actor.acting.name,
            "roles": [
                {
                    "role": held.role,
                    "scope": held.scope,
                    "via": [str(group) for group in held.via],
                    "until": to_json_value(held.interval.ends),
                }
                for held in held_roles
            ],
            "limits": to_json_value(limits.limit_values(tx, identity, actor.project or SYSTEM)),
            "expires_at": None if token is None else to_json_value(token.expires_at),
            "revision": tx.revision,
        }

    return JsonResponse(await ctx.authorized_read(operation))


async def show_catalog(ctx: RequestContext) -> JsonResponse:
    def operation(tx: ReadTransaction) -> dict[str, Any]:
        catalog = tx.catalog
        return {
            "name": catalog.name,
            "version": catalog.version,
            "hash": catalog.hash,
            "roles": [
                {
                    "name": role.name,
                    "description": role.description,
                    "category": role.category,
                    "scopes": sorted(str(scope) for scope in role.scopes),
                    "permissions": sorted(str(permission) for permission in role.permissions),
                    "limits": {str(kind): value for kind, value in role.limits.items()},
                    "built_in": role.built_in,
                }
                for role in tx.roles.values()
            ],
            "commands": [
                {
                    "command": words,
                    "group": entry.group,
                    "permission": None if entry.permission is None else str(entry.permission),
                    "scope": str(entry.scope),
                    "grammar": entry.grammar,
                    "description": entry.description,
                    "least_role": entry.least_role,
                    "only_reads": catalog.only_reads(entry),
                }
                for words, entry in (
                    *catalog.commands.items(),
                    *((alias, catalog.commands[name]) for alias, name in catalog.aliases.items()),
                )
            ],
        }

    return JsonResponse(await ctx.authorized_read(operation))


ROUTES = (
    Route(
        "GET",
        "/api/v1/me",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_me,
        "Show your own identity, roles and limits.",
        response=MeView,
    ),
    Route(
        "GET",
        "/api/v1/catalog",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_catalog,
        "Show the catalog: commands and roles.",
        response=CatalogView,
    ),
)
