"""Page *Sessions and revocation*: the user's own sessions; for administrators those of all users, and revocation."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select

from aizen_hub.accounts.credentials import activation, second_factor
from aizen_hub.accounts.sessions import locks, server_sessions
from aizen_hub.api_models.schema import Label, Name, Schema
from aizen_hub.authorization import checks
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.user_stop import stop_user
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import ANY_REGISTERED, RawResponse, Route
from aizen_hub.service.panel.rendering import IN_BROWSER, authorized_value, form_route, render, see_other
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_s, _l, _u = tables.sessions, tables.locks, tables.users
_MAX_ROWS = 500
_MESSAGES = {
    "ended": "The session has ended; its server will stop in a moment.",
    "unlocked": "The account is unlocked.",
    "second-factor": "Codes are no longer asked for at the user's sign-in.",
}


class SessionsPageQuery(Schema):
    done: Literal["ended", "unlocked", "second-factor"] | None = None


class SessionForm(Form):
    session: Name


class StopForm(Form):
    user: Name
    reason: Label


class UnlockForm(Form):
    name: Name


class UserForm(Form):
    user: Name


async def show_sessions(ctx: RequestContext) -> RawResponse:
    return await _render(ctx, notice=_MESSAGES.get(ctx.query.done))


async def _render(ctx: RequestContext, **variables: Any) -> RawResponse:
    data = await authorized_value(ctx, _page_data)
    return render(ctx, "sessions.html", **{"notice": None, "outcome": None, "link": None, **variables}, **data)


def _page_data(tx: WriteTransaction) -> dict[str, Any]:
    checks.forbid_impersonation(tx)
    sees_all = checks.is_allowed(tx, checks.endpoint_permission(tx, "sessions"), SYSTEM)
    may_lock = checks.is_allowed(tx, checks.endpoint_permission(tx, "locks"), SYSTEM)
    may_manage = checks.is_allowed(tx, checks.endpoint_permission(tx, "users"), SYSTEM)
    query = select(_s).where(_s.c.ended.is_(None)).order_by(_s.c.started.desc()).limit(_MAX_ROWS + 1)
    if not sees_all:
        query = query.where(_s.c.user == tx.actor.identity.name)
    else:
        tx.audit("access.read", details={"query": "sessions", "target": None})
    lock_rows = []
    if may_lock:
        identity_locks = select(_l).where(_l.c.target == LockTarget.IDENTITY.value)
        lock_rows = list(tx.conn.execute(identity_locks.order_by(_l.c.locked.desc()).limit(_MAX_ROWS + 1)).all())
    session_rows = tx.conn.execute(query).all()
    names = select(_u.c.name).order_by(_u.c.name).limit(_MAX_ROWS)
    return {
        "sessions": session_rows[:_MAX_ROWS],
        "more_sessions": len(session_rows) > _MAX_ROWS,
        "sees_all": sees_all,
        "may_lock": may_lock,
        "may_manage": may_manage,
        "locks": lock_rows[:_MAX_ROWS],
        "more_locks": len(lock_rows) > _MAX_ROWS,
        "user_names": list(tx.conn.execute(names).scalars()) if may_lock or may_manage else [],
    }


async def end_session(ctx: RequestContext) -> RawResponse:
    session_id = ctx.body.session
    await authorized_value(ctx, lambda tx: server_sessions.end_session_by_id(tx, session_id, "ended in the panel"))
    return see_other(ctx, "sessions?done=ended")


async def stop_user_now(ctx: RequestContext) -> RawResponse:
    _, outcome = await stop_user(ctx, ctx.body.user, ctx.body.reason)
    return await _render(ctx, outcome=outcome)


async def remove_lock(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: locks.unlock_target(tx, LockTarget.IDENTITY, ctx.body.name))
    return see_other(ctx, "sessions?done=unlocked")


async def create_activation_link(ctx: RequestContext) -> RawResponse:
    """Create an activation link; the current password keeps working until the link is used."""
    result = await authorized_value(ctx, lambda tx: activation.reissue_link(tx, ctx.body.user))
    return await _render(ctx, link=result.data)


async def disable_second_factor(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: second_factor.disable_second_factor(tx, ctx.body.user))
    return see_other(ctx, "sessions?done=second-factor")


ROUTES = (
    Route(
        "GET",
        "/sessions",
        IN_BROWSER,
        ANY_REGISTERED,
        show_sessions,
        "Sessions and revocation.",
        query=SessionsPageQuery,
        media_type=HTML,
        browser_page=True,
    ),
    form_route("/sessions/end", end_session, "End a session, from the page.", SessionForm),
    # The hub stops servers before it answers, within a deadline of its own.
    form_route("/sessions/stop", stop_user_now, "Stop a user now, from the page.", StopForm, own_deadline=True),
    form_route("/sessions/unlock", remove_lock, "Unlock a user, from the page.", UnlockForm),
    form_route("/sessions/reset", create_activation_link, "Create an activation link, from the page.", UserForm),
    form_route("/sessions/no-codes", disable_second_factor, "Disable a user's second factor, from the page.", UserForm),
)
