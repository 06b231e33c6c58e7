"""Tells people in time that a role of theirs ends."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from aizen_hub.alerts.message import Event
from aizen_hub.alerts.outbox import tell_user
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store.tables import assignments

_MOST = 500


def announce_expiring(conn: Connection, now: datetime, ahead: timedelta) -> int:
    """Write one alert for every direct assignment of a user that ends within ``ahead``, once per assignment and end.

    At most 500 assignments a call; the rest follow at the next.
    """
    rows = conn.execute(
        select(assignments)
        .where(assignments.c.ends > now, assignments.c.ends <= now + ahead)
        .order_by(assignments.c.ends)
        .limit(_MOST)
    ).all()
    written = 0
    for row in rows:
        identity = Identity.parse(row.identity)
        if identity.kind is Kind.USER:
            payload = {"role": row.role, "scope": row.scope, "until": row.ends.isoformat(timespec="minutes")}
            once = f"expiring/{row.id}/{int(row.ends.timestamp())}"
            written += tell_user(conn, now, identity.name, Event.ACCESS_EXPIRING, payload, once=once)
    return written
