"""Whose a login is, and fresh sign-ins: when somebody last proved in person who they are, in which browser (R77)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from aizen_hub.accounts.sessions import locks
from aizen_hub.problems import Denied
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

FRESH = timedelta(minutes=15)
"""How long a fresh sign-in counts (R77)."""
_s = tables.sign_ins


def user_of(tx: Read, provider: str, subject: str) -> str | None:
    """Return the name of the user that a login belongs to, by registration or by link."""
    u, further = tables.users.c, tables.logins.c
    registered = select(u.name).where(u.provider == provider, u.subject == subject)
    linked = select(u.name).join(tables.logins, further.user_id == u.id)
    linked = linked.where(further.provider == provider, further.subject == subject)
    found = tx.conn.execute(registered).scalar() or tx.conn.execute(linked).scalar()
    return None if found is None else str(found)


def report(tx: Write, user: str, provider: str, subject: str, session: str, at: datetime | None = None) -> datetime:
    """Take the hub's word that the person at a browser session has just proven again who they are.

    Parameters
    ----------
    user : str
        Who is signed in there; must be who (provider, subject) is here.
    session : str
        SHA-256 of the hub's id of the browser session.
    at : datetime, optional
        When the provider says that it was; never later than now.

    Returns
    -------
    datetime
        Until when it counts.

    Raises
    ------
    Denied
        Somebody else, or nobody who may come in.
    """
    if user_of(tx, provider, subject) != user or not _may_come_in(tx, user):
        raise Denied("this is not who is signed in here", remedy="sign out, and sign in as yourself")
    when = tx.now if at is None else min(at, tx.now)
    tx.conn.execute(delete(_s).where(_s.c.user == user, _s.c.session == session))
    tx.conn.execute(insert(_s).values(user=user, session=session, at=when))
    tx.audit("login.fresh", details={"user": user, "provider": provider})
    return when + FRESH


def fresh_until(tx: Read, user: str, session: str) -> datetime | None:
    """Return until when the fresh sign-in of a browser session counts; None if there is none that does."""
    at = tx.conn.execute(select(_s.c.at).where(_s.c.user == user, _s.c.session == session)).scalar()
    return None if at is None or at + FRESH <= tx.now else at + FRESH


def forget(tx: Write, user: str) -> None:
    """Let no sign-in of a user count any more: the password is another, or the user is gone."""
    tx.conn.execute(delete(_s).where(_s.c.user == user))


def forget_old(tx: Write) -> None:
    """Drop what counts no more."""
    tx.conn.execute(delete(_s).where(_s.c.at < tx.now - FRESH))


def _may_come_in(tx: Read, user: str) -> bool:
    active = tx.conn.execute(select(tables.users.c.active).where(tables.users.c.name == user)).scalar()
    return bool(active) and not locks.is_locked(tx, LockTarget.IDENTITY, f"user:{user}")
