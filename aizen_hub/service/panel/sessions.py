"""Page *Sessions and revocation*: the user's own sessions; for administrators those of all users, and revocation."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select

from aizen_hub.accounts.credentials import mailed_links, second_factor
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.sessions import lock_previews, locks, server_sessions
from aizen_hub.api_models.schema import Name, Note, Schema
from aizen_hub.authorization import checks
from aizen_hub.problems import NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.change_response import id_param
from aizen_hub.service.api.user_stop import stop_user
from aizen_hub.service.http.form import Form, LastDay
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import ANY_REGISTERED, RawResponse, Route
from aizen_hub.service.link_mail import send_links
from aizen_hub.service.panel.rendering import IN_BROWSER, authorized_value, form_route, render, see_other
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_s, _l, _u = tables.sessions, tables.locks, tables.users
_MAX_ROWS = 500
_MESSAGES = {
    "ended": "The session has ended; its server will stop in a moment.",
    "unlocked": "The lock is lifted.",
    "shortened": "The lock has an end.",
    "second-factor": "Codes are no longer asked for at the user's sign-in.",
}


class SessionsPageQuery(Schema):
    done: Literal["ended", "unlocked", "shortened", "second-factor"] | None = None


class StopQuery(Schema):
    user: Name
    reason: Note = ""


class SessionForm(Form):
    session: Name


class StopForm(Form):
    user: Name
    reason: Note


class UnlockForm(Form):
    """The lock ends after ``until``; at once without it."""

    reason: Note
    until: LastDay = None


class UserForm(Form):
    user: Name


async def show_sessions(ctx: RequestContext) -> RawResponse:
    return await _render(ctx, notice=_MESSAGES.get(ctx.query.done))


async def _render(ctx: RequestContext, **variables: Any) -> RawResponse:
    data = await authorized_value(ctx, _page_data)
    defaults = dict.fromkeys(("notice", "outcome", "undo", "link"))
    return render(ctx, "sessions.html", **{**defaults, **variables}, **data)


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
        lock_rows = list(tx.conn.execute(select(_l).order_by(_l.c.locked.desc()).limit(_MAX_ROWS + 1)).all())
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


async def preview_stop(ctx: RequestContext) -> RawResponse:
    """Show what stopping a user ends, before it is done."""
    user, reason = ctx.query.user, ctx.query.reason
    identity = Identity.user(normalization.canonical_or_none(user) or user)
    ends = await authorized_value(ctx, lambda tx: lock_previews.list_what_ends(tx, identity))
    return render(ctx, "stop.html", user=identity.name, reason=reason, ends=ends)


async def stop_user_now(ctx: RequestContext) -> RawResponse:
    user = normalization.canonical_or_none(ctx.body.user) or ctx.body.user
    _, outcome = await stop_user(ctx, user, ctx.body.reason)
    name = f"user:{user}"
    lock = await authorized_value(ctx, lambda tx: locks.get_lock(tx, LockTarget.IDENTITY, name).id)
    return await _render(ctx, outcome=outcome, undo=(lock, user))


def _get_lock(tx: WriteTransaction, lock_id: int) -> Any:
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    row = tx.conn.execute(select(_l).where(_l.c.id == lock_id)).first()
    if row is None:
        raise NotFound("there is no such lock", remedy="it was lifted, or ended, in the meantime")
    return row


async def show_lock(ctx: RequestContext) -> RawResponse:
    """Show a lock, and what returns when it is lifted."""
    lock_id = id_param(ctx, "lock", "lock")

    def operation(tx: WriteTransaction) -> dict[str, Any]:
        row = _get_lock(tx, lock_id)
        returns = lock_previews.list_what_returns(tx, LockTarget(row.target), row.name)
        return {"lock": row, "returns": returns, "in_force": row.ends is None or row.ends > tx.now}

    return render(ctx, "lock.html", **await authorized_value(ctx, operation))


async def remove_lock(ctx: RequestContext) -> RawResponse:
    lock_id, body = id_param(ctx, "lock", "lock"), ctx.body

    def operation(tx: WriteTransaction) -> None:
        row = _get_lock(tx, lock_id)
        locks.unlock_target(tx, LockTarget(row.target), row.name, reason=body.reason, ends=body.until)

    await authorized_value(ctx, operation)
    return see_other(ctx, f"sessions?done={'unlocked' if body.until is None else 'shortened'}")


async def create_activation_link(ctx: RequestContext) -> RawResponse:
    """Create an activation link; the current password keeps working until the link is used."""
    outgoing: list[mailed_links.MailedLink] = []
    result = await ctx.within_deadline(
        authorized_value(ctx, lambda tx: mailed_links.renew_link(tx, ctx.body.user, outgoing))
    )
    await send_links(ctx.service, outgoing)
    shown = {"link": result.data} if "activation" in result.data else {"outcome": result.message}
    return await ctx.within_deadline(_render(ctx, **shown))


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
    Route(
        "GET",
        "/sessions/stop",
        IN_BROWSER,
        ANY_REGISTERED,
        preview_stop,
        "What stopping a user ends.",
        query=StopQuery,
        media_type=HTML,
        browser_page=True,
    ),
    # The hub stops servers before it answers, within a deadline of its own.
    form_route("/sessions/stop", stop_user_now, "Stop a user now, from the page.", StopForm, own_deadline=True),
    # The pages of locks lead back to it.
    Route(
        "GET",
        "/locks",
        IN_BROWSER,
        ANY_REGISTERED,
        show_sessions,
        "Sessions and locks.",
        query=SessionsPageQuery,
        media_type=HTML,
        browser_page=True,
    ),
    Route(
        "GET",
        "/locks/{lock}",
        IN_BROWSER,
        ANY_REGISTERED,
        show_lock,
        "A lock, and what returns when it is lifted.",
        media_type=HTML,
        browser_page=True,
    ),
    form_route("/locks/{lock}/remove", remove_lock, "Lift a lock, from its page.", UnlockForm),
    # The mail server has a deadline of its own.
    form_route(
        "/sessions/reset",
        create_activation_link,
        "Create an activation link, from the page.",
        UserForm,
        own_deadline=True,
    ),
    form_route("/sessions/no-codes", disable_second_factor, "Disable a user's second factor, from the page.", UserForm),
)
