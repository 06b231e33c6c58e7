"""Live sessions: one's own, and everybody's for administrators (R130)."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from aizen_hub.accounts.sessions import sessions
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, first
from aizen_hub.rbac.identity import Kind
from aizen_hub.service.api.change_response import change
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.sessions import EndOne, SessionsQuery
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store import tables
from aizen_hub.store.transaction import Write

_s = tables.sessions
_MOST = 1000


def _own(call: Call) -> str | None:
    return call.identity.name if call.identity.kind is Kind.USER else None


async def listing(call: Call) -> Answer:
    wanted = call.query.user

    def work(tx: Write) -> Result:
        if wanted is None or wanted != _own(call):
            gate.need(tx, gate.permission(tx, "sessions"))
            tx.audit("access.read", details={"question": "sessions", "target": wanted})
        where = [_s.c.ended.is_(None)] if wanted is None else [_s.c.ended.is_(None), _s.c.user == wanted]
        rows = tx.conn.execute(select(_s).where(*where).order_by(_s.c.started.desc()).limit(_MOST + 1)).all()
        found = first(
            ("session", "user", "server", "project", "started", "heard"),
            [(row.id, row.user, row.server, row.project, row.started, row.heard) for row in rows],
            _MOST,
        )
        # Started before this hub used the service: without rights, until their people start them again.
        without = [(None, *one, None, None, None) for one in call.house.without_session if wanted in (None, one[0])]
        return replace(found, rows=(*found.rows, *without))

    return await change(call, work)


async def end(call: Call) -> Answer:
    number, reason = call.members["session"], call.body.reason
    return await change(call, lambda tx: sessions.end_one(tx, number, reason))


ROUTES = (
    Route(
        "GET",
        "/api/v1/sessions",
        PEOPLE,
        REGISTERED,
        listing,
        "List live sessions; one's own with `user`, or everybody's for administrators.",
        query=SessionsQuery,
        answer=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/sessions/{session}/end",
        PEOPLE,
        REGISTERED,
        end,
        "End a session.",
        body=EndOne,
        answer=ResultView,
        keyed=True,
    ),
)
