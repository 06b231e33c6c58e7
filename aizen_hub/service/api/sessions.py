"""Routes for active sessions: the user's own, and those of all users for administrators (R130)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, truncated_table
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.service.api.change_response import authorized_result
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.sessions import SessionEnd, SessionsQuery
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_s = tables.sessions
_MAX_ROWS = 1000
_COLUMNS = ("session", "user", "server", "hub", "project", "started", "last seen")


def _own_name(ctx: RequestContext) -> str | None:
    return ctx.identity.name if ctx.identity.kind is IdentityKind.USER else None


async def list_sessions(ctx: RequestContext) -> JsonResponse:
    user = ctx.query.user

    def operation(tx: WriteTransaction) -> Result:
        if user is None or user != _own_name(ctx):
            checks.require(tx, checks.endpoint_permission(tx, "sessions"))
            tx.audit("access.read", details={"query": "sessions", "target": user})
        active = [_s.c.ended.is_(None)] if user is None else [_s.c.ended.is_(None), _s.c.user == user]
        rows = tx.conn.execute(select(_s).where(*active).order_by(_s.c.started.desc()).limit(_MAX_ROWS + 1)).all()
        columns = _COLUMNS if tx.settings.further_hubs else tuple(name for name in _COLUMNS if name != "hub")
        listed = [(row.id, row.user, row.server, row.hub, row.project, row.started, row.last_seen) for row in rows]
        # Servers started before their hub used the service have no session and no rights until they are restarted.
        without_session = [
            (None, owner, server, hub, None, None, None)
            for hub, servers in ctx.service.state.servers_without_session.items()
            for owner, server in servers
            if user in (None, owner)
        ]
        result = truncated_table(columns, [_pick(row, columns) for row in listed], _MAX_ROWS)
        return replace(result, rows=(*result.rows, *(_pick(row, columns) for row in without_session)))

    return await authorized_result(ctx, operation)


def _pick(row: Sequence[Any], columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(value for name, value in zip(_COLUMNS, row, strict=True) if name in columns)


async def end_session(ctx: RequestContext) -> JsonResponse:
    session_id, reason = ctx.path_params["session"], ctx.body.reason
    return await authorized_result(ctx, lambda tx: server_sessions.end_session_by_id(tx, session_id, reason))


ROUTES = (
    Route(
        "GET",
        "/api/v1/sessions",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_sessions,
        "List active sessions: your own with `user`, or those of all users for administrators.",
        query=SessionsQuery,
        response=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/sessions/{session}/end",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        end_session,
        "End a session.",
        body=SessionEnd,
        response=ResultView,
        idempotent=True,
    ),
)
