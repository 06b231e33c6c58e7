"""Route by which a session, or any other principal, reads what it is and has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.roles import access_requests
from aizen_hub.accounts.roles.request_details import outcome_of
from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.sessions.role_sources import describe_source
from aizen_hub.accounts.sessions.session_deadlines import foreseeable_end
from aizen_hub.api_models.own_session import OwnSessionView
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.effective_access import HeldAccess, list_access
from aizen_hub.commands.result import to_json_value
from aizen_hub.jobs.limit_use import read_limits
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction

_MAX_SCOPES = 200
_MAX_ROLES = 200
_MAX_REQUESTS = 20
_u, _p = tables.users, tables.projects


async def show_session(ctx: RequestContext) -> JsonResponse:
    service, token = ctx.service, ctx.principal.token

    def operation(tx: ActorTransaction) -> dict[str, Any]:
        actor, identity = tx.actor, tx.actor.identity
        display_name = None
        if identity.kind is IdentityKind.USER:
            display_name = tx.conn.scalar(select(_u.c.display_name).where(_u.c.name == identity.name))
        held = _held_roles(tx)
        session = None if actor.session is None else server_sessions.find_live_session(tx, actor.session)
        end = None if session is None else foreseeable_end(tx, session)
        description = None
        # The name of the project of a session stays known when the last role there has ended; what is in it does not.
        if actor.project is not None and checks.can_see_project(tx, identity, actor.project):
            description = tx.conn.scalar(select(_p.c.description).where(_p.c.name == actor.project))
        return {
            "user": identity.name,
            "kind": str(identity.kind),
            "display_name": display_name or identity.name,
            "acting": None if actor.acting is None else actor.acting.name,
            "session": None if session is None else _server_session(session),
            "project": actor.project,
            "project_description": description,
            "roles": [_role_view(tx, role) for role in held[:_MAX_ROLES]],
            "more_roles": len(held) > _MAX_ROLES,
            "limits": [
                {"limit": use.kind, "value": use.value, "source": use.source, "used": use.used}
                for use in read_limits(tx, identity, actor.project or SYSTEM)
            ],
            "requests": _own_requests(tx),
            "ends_at": None if end is None else to_json_value(end.at),
            "ends_because": None if end is None else end.because,
            "token_expires": None if token is None else to_json_value(token.expires_at),
            "panel": service.browser_login.hub_location.panel_url or service.prefix,
            "at": to_json_value(tx.now),
            "revision": tx.revision,
        }

    return JsonResponse(await ctx.authorized_read(operation))


def _held_roles(tx: ActorTransaction) -> list[HeldAccess]:
    """Return the roles of the session, one more than are shown; without a session those of all scopes."""
    actor = tx.actor
    projects = None if actor.session is None else frozenset({SYSTEM, actor.project or SYSTEM})
    access = list_access(tx, actor.identity, projects=projects, limit=_MAX_SCOPES)
    return [role for scope in access.scopes for role in scope.roles][: _MAX_ROLES + 1]


def _role_view(tx: ReadTransaction, held: HeldAccess) -> dict[str, Any]:
    role = tx.roles.get(held.role)
    return {
        "role": held.role,
        "description": "" if role is None else role.description,
        "scope": held.scope,
        "state": held.state.value,
        "source": describe_source(held),
        "via": [str(group) for group in held.via],
        "reason": held.reason,
        "starts": to_json_value(held.starts),
        "ends": to_json_value(held.ends),
        "seconds_left": None if held.ends is None else (held.ends - tx.now).total_seconds(),
    }


def _server_session(row: Any) -> dict[str, Any]:
    return {"id": row.id, "server": row.server, "started": to_json_value(row.started)}


def _own_requests(tx: ActorTransaction) -> list[dict[str, Any]]:
    own = access_requests.list_own_requests(tx, tx.actor.identity, _MAX_REQUESTS)
    rows = [dict(zip(own.columns, row, strict=True)) for row in own.rows]
    return [
        {name: to_json_value(value) for name, value in row.items()}
        | {"state": outcome_of(row["state"], row["comment"]), "comment": row["comment"]}
        for row in rows
    ]


ROUTES = (
    Route(
        "GET",
        "/api/v1/session",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_session,
        "Show your session: project, roles with their ends and sources, limits and requests.",
        response=OwnSessionView,
    ),
)
