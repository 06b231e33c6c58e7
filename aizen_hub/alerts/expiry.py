"""Tells people in time that a role of theirs ends."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, literal, or_, select, true

from aizen_hub.alerts.message import Event
from aizen_hub.alerts.outbox import EVERYBODY, ONCE, Channel, tell_user, ways
from aizen_hub.store.tables import assignments, outbox, users

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read

_MOST = 100
"""Few, since nobody else writes meanwhile."""
_USER = "user:"
_ADDRESSES = ((Channel.EMAIL, users.c.email), (Channel.PHONE, users.c.phone))


def announce_expiring(tx: Read, ahead: timedelta) -> int:
    """Write one alert for every direct assignment of a user that ends within ``ahead``, once each time it is given.

    At most 100 assignments a call, of those that nobody was told of and somebody can be: the rest follow at the next.
    """
    a = assignments.c
    known = ways(tx.settings.alerts)
    rows = tx.conn.execute(
        select(a.id, a.role, a.scope, a.ends, a.revision, users.c.name)
        .join(users, users.c.name == func.substr(a.identity, len(_USER) + 1))
        .where(a.identity.startswith(_USER), a.ends > tx.now, a.ends <= tx.now + ahead)
        .where(_reachable(known), *(~_told(channel) for channel in known))
        .order_by(a.ends, a.id)
        .limit(_MOST)
    ).all()
    return sum(
        tell_user(
            tx,
            row.name,
            Event.ACCESS_EXPIRING,
            {"role": row.role, "scope": row.scope, "until": row.ends.isoformat(timespec="minutes")},
            once=f"expiring/{row.id}/{row.revision}",
        )
        for row in rows
    )


def _reachable(known: frozenset[Channel]) -> ColumnElement[bool]:
    # The webhook is told of everybody.
    wants = [
        and_(address.is_not(None), address != "", users.c.alerts[channel.value].as_boolean())
        for channel, address in _ADDRESSES
        if channel in known
    ]
    return true() if Channel.WEBHOOK in known else or_(literal(False), *wants)


def _told(channel: Channel) -> ColumnElement[bool]:
    """Whether the outbox has this occasion for the channel; equality, so that its index answers."""
    a = assignments.c
    recipient = literal(EVERYBODY) if channel is Channel.WEBHOOK else users.c.name
    occasion = literal("expiring/") + cast(a.id, String) + "/" + cast(a.revision, String) + f"/{channel}/" + recipient
    return exists().where(outbox.c.once == func.substr(occasion, 1, ONCE)).correlate(assignments, users)
