"""Alerts to users whose role assignments expire soon."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, literal, or_, select, true

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import (
    MAX_DEDUPLICATION_KEY,
    WEBHOOK_RECIPIENT,
    AlertChannel,
    alert_user,
    configured_channels,
)
from aizen_hub.store.tables import assignments, outbox, users

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_MAX_ASSIGNMENTS = 100
"""Few, since other writers wait meanwhile."""
_USER_PREFIX = "user:"
_ADDRESSES = ((AlertChannel.EMAIL, users.c.email), (AlertChannel.PHONE, users.c.phone))


def alert_expiring_assignments(tx: ReadTransaction, ahead: timedelta) -> int:
    """Write one alert for every direct assignment of a user that ends within ``ahead``, once per grant.

    A call handles at most 100 assignments, of those without an alert and with a recipient; the next call continues.
    """
    a = assignments.c
    channels = configured_channels(tx.settings.alerts)
    rows = tx.conn.execute(
        select(a.id, a.role, a.scope, a.ends, a.revision, users.c.name)
        .join(users, users.c.name == func.substr(a.identity, len(_USER_PREFIX) + 1))
        .where(a.identity.startswith(_USER_PREFIX), a.ends > tx.now, a.ends <= tx.now + ahead)
        .where(_has_channel(channels), *(~_already_alerted(channel) for channel in channels))
        .order_by(a.ends, a.id)
        .limit(_MAX_ASSIGNMENTS)
    ).all()
    return sum(
        alert_user(
            tx,
            row.name,
            AlertEvent.ACCESS_EXPIRING,
            {"role": row.role, "scope": row.scope, "until": row.ends.isoformat(timespec="minutes")},
            deduplication_key=f"expiring/{row.id}/{row.revision}",
        )
        for row in rows
    )


def _has_channel(channels: frozenset[AlertChannel]) -> ColumnElement[bool]:
    # The webhook receives the alerts of all users.
    conditions = [
        and_(address.is_not(None), address != "", users.c.alerts[channel.value].as_boolean())
        for channel, address in _ADDRESSES
        if channel in channels
    ]
    return true() if AlertChannel.WEBHOOK in channels else or_(literal(False), *conditions)


def _already_alerted(channel: AlertChannel) -> ColumnElement[bool]:
    """Whether the outbox already has this alert for the channel; an equality, so that an index is used."""
    a = assignments.c
    recipient = literal(WEBHOOK_RECIPIENT) if channel is AlertChannel.WEBHOOK else users.c.name
    key = literal("expiring/") + cast(a.id, String) + "/" + cast(a.revision, String) + f"/{channel}/" + recipient
    return (
        exists()
        .where(outbox.c.deduplication_key == func.substr(key, 1, MAX_DEDUPLICATION_KEY))
        .correlate(assignments, users)
    )
