"""The outbox: an alert is written in the transaction of its change, and is rolled back with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from aizen_hub.alerts.message import AlertEvent
from aizen_hub.authorization import checks
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import AlertSettings
from aizen_hub.store.tables import outbox, project_alerts, users

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


class AlertChannel(StrEnum):
    """How an alert is delivered."""

    EMAIL = "email"
    PHONE = "phone"  # delivered through the webhook, since no text message service is built in
    WEBHOOK = "webhook"


ACCESS_SERVICE = "access"
"""The alert service that sends changes of roles in a project to its subscribers."""
WEBHOOK_RECIPIENT = "*"
"""Recipient of an alert for the deployment's webhook, which receives the alerts of all users."""
MAX_DEDUPLICATION_KEY = 120
"""Maximum length of a deduplication key with its channel and recipient."""


def configured_channels(settings: AlertSettings) -> frozenset[AlertChannel]:
    """Return the channels that are configured. No alert is written for another one, since it could not be delivered."""
    channels = set()
    if settings.mail is not None:
        channels.add(AlertChannel.EMAIL)
    if settings.has_webhook:
        channels |= {AlertChannel.PHONE, AlertChannel.WEBHOOK}
    return frozenset(channels)


def alert_user(
    tx: ReadTransaction,
    user: str,
    event: AlertEvent,
    payload: Mapping[str, Any],
    *,
    deduplication_key: str | None = None,
) -> int:
    """Write an alert for one user on each configured channel that the user has enabled and has an address for.

    Parameters
    ----------
    deduplication_key : str, optional
        An alert with the same key is written only once per channel and recipient.

    Returns
    -------
    int
        The number of alerts written.
    """
    return _write_alerts(tx, [user], event, payload, deduplication_key)


def alert_users(tx: ReadTransaction, users: Iterable[str], event: AlertEvent, payload: Mapping[str, Any]) -> int:
    """Write the same alert for several users, and once for the webhook; see `alert_user`."""
    return _write_alerts(tx, users, event, payload, None)


def alert_project_subscribers(
    tx: ReadTransaction,
    project: str,
    service: str,
    event: AlertEvent,
    payload: Mapping[str, Any],
    *,
    deduplication_key: str | None = None,
    except_user: str | None = None,
    to_webhook: bool = True,
) -> int:
    """Write an alert for all members who subscribed to ``service`` (e.g. ``training``) in a project; see `alert_user`.

    Parameters
    ----------
    except_user : str, optional
        A subscriber who is alerted of the same change by `alert_user`.
    to_webhook : bool
        False if the webhook already receives another alert of the same change.
    """
    if not configured_channels(tx.settings.alerts):
        return 0
    rows = tx.conn.execute(
        select(project_alerts.c.user).where(project_alerts.c.project == project, project_alerts.c.service == service)
    )
    # Who left the project keeps the choice, and hears nothing of it (R72).
    names = [
        name
        for name in rows.scalars()
        if name != except_user and checks.can_see_project(tx, Identity.user(name), project)
    ]
    return _write_alerts(tx, names, event, payload, deduplication_key, to_webhook=to_webhook)


def _write_alerts(
    tx: ReadTransaction,
    names: Iterable[str],
    event: AlertEvent,
    payload: Mapping[str, Any],
    deduplication_key: str | None,
    *,
    to_webhook: bool = True,
) -> int:
    conn, channels = tx.conn, configured_channels(tx.settings.alerts)
    if not channels:
        return 0
    recipients = conn.execute(
        select(users.c.name, users.c.email, users.c.phone, users.c.alerts).where(users.c.name.in_(sorted(set(names))))
    ).all()
    targets = [
        (user.name, channel, address)
        for user in recipients
        for channel, address in ((AlertChannel.EMAIL, user.email), (AlertChannel.PHONE, user.phone))
        if channel in channels and address and user.alerts.get(channel)
    ]
    if to_webhook and AlertChannel.WEBHOOK in channels:
        targets.append((WEBHOOK_RECIPIENT, AlertChannel.WEBHOOK, None))
    rows = [
        {
            "recipient": name,
            "channel": channel,
            "event": event,
            "payload": {**payload, "address": address} if address else dict(payload),
            "created": tx.now,
            "next_attempt": tx.now,
            "attempts": 0,
            "deduplication_key": f"{deduplication_key}/{channel}/{name}"[:MAX_DEDUPLICATION_KEY]
            if deduplication_key
            else None,
        }
        for name, channel, address in targets
    ]
    if deduplication_key:
        keys = [row["deduplication_key"] for row in rows]
        existing = set(
            conn.execute(select(outbox.c.deduplication_key).where(outbox.c.deduplication_key.in_(keys))).scalars()
        )
        rows = [row for row in rows if row["deduplication_key"] not in existing]
    if rows:
        conn.execute(insert(outbox), rows)
    return len(rows)
