"""Users whom their provider does not know any more: recorded for administrators; it decides nothing.

The hub signs such a user out, and what the directory gave ends by itself (R63). Roles that were given here stay until
someone takes them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

_u = tables.users


def record_departure(tx: WriteTransaction, provider: str, subject: str) -> str | None:
    """Record that a provider does not know a registered user any more; returns the user.

    None where no user is registered with that login, or where this is recorded already. Linked logins are not looked
    at: their users sign in by another provider still.
    """
    query = select(_u.c.name).where(_u.c.provider == provider, _u.c.subject == subject, _u.c.gone_at.is_(None))
    user = tx.conn.execute(query).scalar()
    if user is None:
        return None
    tx.conn.execute(update(_u).where(_u.c.name == user).values(gone_at=tx.now))
    tx.audit("login.gone", details={"user": user, "provider": provider})
    return str(user)
