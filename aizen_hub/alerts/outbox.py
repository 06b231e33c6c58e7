"""The outbox: alerts are written in the transaction of their change, so none is lost and none is false."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from aizen_hub.alerts.message import Event
from aizen_hub.settings import AlertSettings
from aizen_hub.store.tables import outbox, project_alerts, users

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read


class Channel(StrEnum):
    EMAIL = "email"
    PHONE = "phone"  # handed to the webhook, since no text message service is built in
    WEBHOOK = "webhook"


EVERYBODY = "*"
"""Recipient of the deployment's webhook."""
ONCE = 120
"""Most characters of an occasion with its channel and recipient."""


def ways(settings: AlertSettings) -> frozenset[Channel]:
    """Return the channels that this deployment has. Nothing is written for another: it could only fail."""
    found = {Channel.EMAIL} if settings.mail is not None else set()
    return frozenset(found | ({Channel.PHONE, Channel.WEBHOOK} if settings.webhook_url is not None else set()))


def tell_user(tx: Read, user: str, event: Event, payload: Mapping[str, Any], *, once: str | None = None) -> int:
    """Write an alert for one user on each channel that there is, and that the user wants and has an address for.

    Returns the number of rows written. ``once`` names the occasion: the same occasion is told only once.
    """
    return _write(tx, [user], event, payload, once)


def tell_project(
    tx: Read,
    project: str,
    service: str,
    event: Event,
    payload: Mapping[str, Any],
    *,
    once: str | None = None,
) -> int:
    """Write an alert for everybody who asked to be told of ``service`` (e.g. ``training``) in a project."""
    rows = tx.conn.execute(
        select(project_alerts.c.user).where(project_alerts.c.project == project, project_alerts.c.service == service)
    )
    return _write(tx, list(rows.scalars()), event, payload, once)


def _write(tx: Read, names: Iterable[str], event: Event, payload: Mapping[str, Any], once: str | None) -> int:
    conn, known = tx.conn, ways(tx.settings.alerts)
    if not known:
        return 0
    found = conn.execute(
        select(users.c.name, users.c.email, users.c.phone, users.c.alerts).where(users.c.name.in_(sorted(set(names))))
    ).all()
    targets = [
        (person.name, channel, address)
        for person in found
        for channel, address in ((Channel.EMAIL, person.email), (Channel.PHONE, person.phone))
        if channel in known and address and person.alerts.get(channel)
    ]
    if Channel.WEBHOOK in known:
        targets.append((EVERYBODY, Channel.WEBHOOK, None))
    rows = [
        {
            "recipient": name,
            "channel": channel,
            "event": event,
            "payload": {**payload, "address": address} if address else dict(payload),
            "created": tx.now,
            "next_try": tx.now,
            "tries": 0,
            "once": f"{once}/{channel}/{name}"[:ONCE] if once else None,
        }
        for name, channel, address in targets
    ]
    if once:
        keys = [row["once"] for row in rows]
        told = set(conn.execute(select(outbox.c.once).where(outbox.c.once.in_(keys))).scalars())
        rows = [row for row in rows if row["once"] not in told]
    if rows:
        conn.execute(insert(outbox), rows)
    return len(rows)
