"""Page *My sessions*: running servers, tokens, and which programs act for the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.sessions.token_revocation import RevocationTarget, revoke_tokens
from aizen_hub.api_models.schema import Name
from aizen_hub.service.http.form import EmptyForm, Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.mine.hub_tokens import read_own_tokens
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_s, _j, _accounts = tables.sessions, tables.jobs, tables.service_accounts
_ACTING = "acting/"
"""How the server of a session begins with which a service account acts for a user."""
_MAX_JOBS = 20


class SessionForm(Form):
    """Which session ends; empty for all of the viewer."""

    session: Name | None = None


async def show_sessions(ctx: RequestContext) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        rows, jobs = own_sessions(viewer), acting_jobs(viewer)
        running, acting = split_acting(rows)
        return {
            "running": running,
            "acting": acting,
            "session_count": len(rows),
            "jobs": jobs[:_MAX_JOBS],
            "more_jobs": len(jobs) > _MAX_JOBS,
            "accounts": viewer.tx.conn.execute(
                select(_accounts.c.name, _accounts.c.active)
                .where(_accounts.c.controller == str(viewer.identity))
                .order_by(_accounts.c.name)
            ).all(),
        }

    # Before the store is read, so that no transaction waits for the hub.
    tokens = await read_own_tokens(ctx)
    return await show_page(ctx, "mine/sessions.html", read, hub_tokens=tokens)


def own_sessions(viewer: Viewer) -> Sequence[Any]:
    """Return the running sessions of the viewer, the newest first."""
    of_viewer = select(_s).where(_s.c.user == viewer.identity.name, _s.c.ended.is_(None))
    return viewer.tx.conn.execute(of_viewer.order_by(_s.c.started.desc())).all()


def split_acting(rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the sessions of servers, and those with which service accounts act for the viewer."""
    acting = [row for row in rows if row.server.startswith(_ACTING)]
    return [row for row in rows if row not in acting], acting


def acting_jobs(viewer: Viewer) -> Sequence[Any]:
    """Return the newest jobs that service accounts started in the name of the viewer, one more than are shown."""
    query = select(_j).where(_j.c.user == viewer.identity.name, _j.c.acting.is_not(None))
    return viewer.tx.conn.execute(query.order_by(_j.c.started.desc()).limit(_MAX_JOBS + 1)).all()


async def end_sessions(ctx: RequestContext) -> RawResponse:
    session, name = ctx.body.session, ctx.identity.name

    def operation(tx: WriteTransaction) -> int:
        if session is not None:
            server_sessions.end_session_by_id(tx, session, "ended in the panel")
            return 1
        ids = tx.conn.execute(select(_s.c.id).where(_s.c.user == name, _s.c.ended.is_(None))).scalars().all()
        for session_id in ids:
            server_sessions.end_session_by_id(tx, session_id, "ended in the panel")
        return len(ids)

    number = await authorized_value(ctx, operation)
    text = "The session has ended; its server stops in a moment." if number == 1 else f"{number} sessions have ended."
    return see_other(ctx, "me/sessions", text)


async def end_tokens(ctx: RequestContext) -> RawResponse:
    name = ctx.identity.name
    await authorized_value(
        ctx, lambda tx: revoke_tokens(tx, RevocationTarget.USER, name, reason="ended by their user in the panel")
    )
    return see_other(ctx, "me/sessions", "Your tokens have ended; running servers get new ones by themselves.")


ROUTES = (
    page_route("/me/sessions", show_sessions, "My sessions."),
    form_route("/me/sessions/end", end_sessions, "End own sessions, from the page.", SessionForm),
    form_route("/me/tokens/end", end_tokens, "End all own role tokens.", EmptyForm),
)
