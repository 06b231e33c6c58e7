"""Owners of logins, and recent logins: when a user last authenticated in person, in which browser session (R77)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.authorization import lock_state
from aizen_hub.problems import Denied
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

RECENT_LOGIN_LIFETIME = timedelta(minutes=15)
"""How long a login counts as recent (R77)."""
_s = tables.recent_logins


def find_user(tx: ReadTransaction, provider: str, subject: str) -> str | None:
    """Return the name of the user that a login belongs to, by registration or by link."""
    users, logins = tables.users.c, tables.logins.c
    registered = select(users.name).where(users.provider == provider, users.subject == subject)
    linked = select(users.name).join(tables.logins, logins.user_id == users.id)
    linked = linked.where(logins.provider == provider, logins.subject == subject)
    name = tx.conn.execute(registered).scalar() or tx.conn.execute(linked).scalar()
    return None if name is None else str(name)


def record_login(
    tx: WriteTransaction,
    user: str,
    provider: str,
    subject: str,
    browser_session: str,
    authenticated_at: datetime | None = None,
) -> datetime:
    """Record the hub's report that the user of a browser session has just authenticated again.

    Parameters
    ----------
    user : str
        The user signed in there; must be the user to whom (provider, subject) belongs.
    browser_session : str
        SHA-256 of the hub's id of the browser session.
    authenticated_at : datetime, optional
        Time of the login as reported by the provider; never later than now.

    Returns
    -------
    datetime
        Until when the login counts as recent.

    Raises
    ------
    Denied
        The login belongs to another user, or the user may not sign in.
    """
    if find_user(tx, provider, subject) != user or not _may_sign_in(tx, user):
        raise Denied(
            "this login does not belong to the user who is signed in here",
            remedy="sign out, and sign in with your own account",
        )
    recorded_at = tx.now if authenticated_at is None else min(authenticated_at, tx.now)
    tx.conn.execute(delete(_s).where(_s.c.user == user, _s.c.session == browser_session))
    tx.conn.execute(insert(_s).values(user=user, session=browser_session, at=recorded_at))
    tx.audit("login.fresh", details={"user": user, "provider": provider})
    return recorded_at + RECENT_LOGIN_LIFETIME


def recent_until(tx: ReadTransaction, user: str, browser_session: str) -> datetime | None:
    """Return until when the login of a browser session counts as recent, or None."""
    authenticated_at = tx.conn.execute(
        select(_s.c.at).where(_s.c.user == user, _s.c.session == browser_session)
    ).scalar()
    return (
        None
        if authenticated_at is None or authenticated_at + RECENT_LOGIN_LIFETIME <= tx.now
        else authenticated_at + RECENT_LOGIN_LIFETIME
    )


def forget_logins(tx: WriteTransaction, user: str) -> None:
    """Discard the recent logins of a user whose password has changed or who is deleted."""
    tx.conn.execute(delete(_s).where(_s.c.user == user))


def sign_out_user(tx: WriteTransaction, user: str) -> None:
    """End every sign-in of a user before the change of this transaction, since it changes how the user signs in (R142).

    The hub ends them: the background task tells it, and so does the next login, before it takes effect. What was signed
    in after this change stays, however late the hub learns of it.
    """
    u = tables.users
    tx.conn.execute(update(u).where(u.c.name == user).values(sign_out_revision=tx.state.revision + 1))


def sign_out_revision(tx: ReadTransaction, user: str) -> int | None:
    """Return the revision of the last change that ended all earlier sign-ins of a user."""
    value = tx.conn.execute(select(tables.users.c.sign_out_revision).where(tables.users.c.name == user)).scalar()
    return None if value is None else int(value)


def prune_logins(tx: WriteTransaction) -> None:
    """Delete expired recent logins."""
    tx.conn.execute(delete(_s).where(_s.c.at < tx.now - RECENT_LOGIN_LIFETIME))


def _may_sign_in(tx: ReadTransaction, user: str) -> bool:
    active = tx.conn.execute(select(tables.users.c.active).where(tables.users.c.name == user)).scalar()
    return bool(active) and not lock_state.is_locked(tx, LockTarget.IDENTITY, f"user:{user}")
