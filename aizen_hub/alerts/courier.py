"""The courier: delivers due alerts from the outbox, with growing pauses, never in the way of a decision."""

from __future__ import annotations

import http.client
import logging
import smtplib
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update

from aizen_hub.alerts.mail import send_mail
from aizen_hub.alerts.message import Event, compose
from aizen_hub.alerts.outbox import Channel
from aizen_hub.alerts.webhook import send_webhook
from aizen_hub.settings import AlertSettings
from aizen_hub.store.tables import outbox

log = logging.getLogger(__name__)

MAX_TRIES = 8
BATCH = 20
_FIRST_PAUSE = timedelta(seconds=5)
_KEEP = timedelta(days=30)
_LEASE = timedelta(minutes=2)

Transaction = Callable[[], AbstractContextManager[Connection]]


class Courier:
    """Delivers alerts; ``deliver_due`` is called in a worker thread every few seconds.

    An alert is claimed for two minutes before it is sent, so that two replicas do not both send it; a courier that
    dies in between leaves it to the next one, which may send it a second time: at least once, never lost.

    Parameters
    ----------
    settings : AlertSettings
        With no mail server or webhook, alerts for that channel are dropped with a note in the row.
    transaction : callable
        Opens a database transaction and gives its connection.
    """

    def __init__(self, settings: AlertSettings, transaction: Transaction) -> None:
        self._settings = settings
        self._transaction = transaction

    def deliver_due(self, now: datetime) -> int:
        """Deliver what is due, at most 20 alerts; return how many were sent."""
        with self._transaction() as conn:
            due = conn.execute(
                select(outbox)
                .where(outbox.c.sent.is_(None), outbox.c.failed.is_(None), outbox.c.next_try <= now)
                .order_by(outbox.c.next_try)
                .limit(BATCH)
            ).all()
            claimed = [
                row
                for row in due
                if conn.execute(
                    update(outbox)
                    .where(outbox.c.id == row.id, outbox.c.next_try == row.next_try, outbox.c.sent.is_(None))
                    .values(next_try=now + _LEASE)
                ).rowcount
            ]
        sent = 0
        for row in claimed:
            outcome = self._send(row)
            with self._transaction() as conn:
                conn.execute(update(outbox).where(outbox.c.id == row.id).values(**self._settle(row, outcome, now)))
            sent += outcome is None
        return sent

    def forget_old(self, now: datetime) -> None:
        """Delete rows that were settled a month ago."""
        with self._transaction() as conn:
            conn.execute(
                delete(outbox).where(
                    outbox.c.created < now - _KEEP, outbox.c.sent.is_not(None) | outbox.c.failed.is_not(None)
                )
            )

    def _send(self, row: Any) -> str | None:
        try:
            message = compose(Event(row.event), row.payload)
            if row.channel == Channel.EMAIL:
                if self._settings.mail is None:
                    return "no mail server is configured"
                send_mail(self._settings.mail, row.payload["address"], message)
            else:
                if self._settings.webhook_url is None:
                    return "no webhook is configured"
                secret = self._settings.webhook_secret_file
                body = {"id": row.id, "event": row.event, "recipient": row.recipient, "channel": row.channel}
                send_webhook(
                    self._settings.webhook_url,
                    secret.read_bytes().strip() if secret else None,
                    {**body, "subject": message.subject, "text": message.body, "payload": row.payload},
                )
        except (OSError, smtplib.SMTPException, http.client.HTTPException) as error:
            log.warning("alert %d by %s was not delivered: %s", row.id, row.channel, type(error).__name__)
            return f"{type(error).__name__}: {error}"[:500]
        except Exception as error:  # noqa: BLE001 - whatever one row holds, the rows behind it are delivered
            log.error("alert %d by %s cannot be made into a message: %s", row.id, row.channel, type(error).__name__)
            return f"no message could be made of it: {type(error).__name__}"
        return None

    def _settle(self, row: Any, outcome: str | None, now: datetime) -> dict[str, Any]:
        tries = row.tries + 1
        if outcome is None:
            return {"sent": now, "tries": tries}
        for_good = outcome.startswith("no ")
        if for_good or tries >= MAX_TRIES:
            return {"failed": outcome, "tries": tries}
        return {"tries": tries, "next_try": now + _FIRST_PAUSE * 2**tries}
