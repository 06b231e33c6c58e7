"""The outbox: alerts are written in the transaction of their change, so none is lost and none is false."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select

from aizen_hub.alerts.message import Event
from aizen_hub.store.tables import outbox, project_alerts, users


class Channel(StrEnum):
    EMAIL = "email"
    PHONE = "phone"  # handed to the webhook, since no text message service is built in
    WEBHOOK = "webhook"


EVERYBODY = "*"
"""Recipient of the deployment's webhook."""


def tell_user(
    conn: Connection, now: datetime, user: str, event: Event, payload: Mapping[str, Any], *, once: str | None = None
) -> int:
    """Write an alert for one user on each channel that the user wants and has an address for.

    Returns the number of rows written. ``once`` names the occasion: the same occasion is told only once.
    """
    return _write(conn, now, [user], event, payload, once)


def tell_project(
    conn: Connection,
    now: datetime,
    project: str,
    service: str,
    event: Event,
    payload: Mapping[str, Any],
    *,
    once: str | None = None,
) -> int:
    """Write an alert for everybody who asked to be told of ``service`` (e.g. ``training``) in a project."""
    rows = conn.execute(
        select(project_alerts.c.user).where(project_alerts.c.project == project, project_alerts.c.service == service)
    )
    return _write(conn, now, list(rows.scalars()), event, payload, once)


def _write(
    conn: Connection, now: datetime, names: Iterable[str], event: Event, payload: Mapping[str, Any], once: str | None
) -> int:
    found = conn.execute(
        select(users.c.name, users.c.email, users.c.phone, users.c.alerts).where(users.c.name.in_(sorted(set(names))))
    ).all()
    targets = [
        (person.name, channel, address)
        for person in found
        for channel, address in ((Channel.EMAIL, person.email), (Channel.PHONE, person.phone))
        if address and person.alerts.get(channel)
    ]
    targets.append((EVERYBODY, Channel.WEBHOOK, None))
    rows = [
        {
            "recipient": name,
            "channel": channel,
            "event": event,
            "payload": {**payload, "address": address} if address else dict(payload),
            "created": now,
            "next_try": now,
            "tries": 0,
            "once": f"{once}/{channel}/{name}"[:120] if once else None,
        }
        for name, channel, address in targets
    ]
    if once:
        keys = [row["once"] for row in rows]
        known = set(conn.execute(select(outbox.c.once).where(outbox.c.once.in_(keys))).scalars())
        rows = [row for row in rows if row["once"] not in known]
    if rows:
        conn.execute(insert(outbox), rows)
    return len(rows)
