"""About oneself, and the catalog."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.roles import limits
from aizen_hub.commands.result import plain
from aizen_hub.rbac.identity import Kind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.schemas.commands import CatalogView, Me
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read

_MOST_ROLES = 1000


async def me(call: Call) -> Answer:
    actor, token = call.actor, call.caller.token
    identity = actor.identity

    def work(tx: Read) -> dict[str, Any]:
        users, now = tables.users.c, tx.now
        shown = None
        if identity.kind is Kind.USER:
            shown = tx.conn.scalar(select(users.display_name).where(users.name == identity.name))
        held = [one for one in tx.rights(identity).held if one.gives(now)][:_MOST_ROLES]
        return {
            "user": identity.name,
            "kind": str(identity.kind),
            "display_name": shown or identity.name,
            "session": actor.session,
            "project": actor.project,
            "acting": None if actor.acting is None else actor.acting.name,
            "roles": [{"role": one.role, "scope": one.scope, "via": [str(group) for group in one.via]} for one in held],
            "limits": plain(limits.numbers(tx, identity, actor.project or SYSTEM)),
            "expires_at": None if token is None else plain(token.expires_at),
            "revision": tx.revision,
        }

    return Answer(await call.read(work))


async def catalog(call: Call) -> Answer:
    def work(tx: Read) -> dict[str, Any]:
        found = tx.catalog
        return {
            "name": found.name,
            "version": found.version,
            "hash": found.hash,
            "roles": [
                {
                    "name": role.name,
                    "description": role.description,
                    "category": role.category,
                    "scopes": sorted(str(scope) for scope in role.scopes),
                    "permissions": sorted(str(one) for one in role.permissions),
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
                }
                for words, entry in (
                    *found.commands.items(),
                    *((alias, found.commands[name]) for alias, name in found.aliases.items()),
                )
            ],
        }

    return Answer(await call.read(work))


ROUTES = (
    Route("GET", "/api/v1/me", PEOPLE, REGISTERED, me, "Who one is here, with which roles and limits.", answer=Me),
    Route("GET", "/api/v1/catalog", PEOPLE, REGISTERED, catalog, "Commands and roles.", answer=CatalogView),
)
