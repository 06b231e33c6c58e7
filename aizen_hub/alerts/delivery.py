"""The courier: delivers due alerts from the outbox, with growing pauses, never in the way of a decision."""

from __future__ import annotations

import http.client
import logging
import smtplib
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
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
# Longer than one alert can take: a mail is a dozen steps of at most ten seconds.
_LEASE = timedelta(minutes=5)

Transaction = Callable[[], AbstractContextManager[Connection]]


class End(Enum):
    """How one try to deliver an alert ended."""

    SENT = auto()
    AGAIN = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one try, and why, unless it was sent."""

    end: End
    why: str = ""


class Courier:
    """Delivers alerts; ``deliver_due`` is called in a worker thread every few seconds.

    Each alert is claimed for five minutes right before it is sent, so that two replicas do not both send it; a courier
    that dies in between leaves it to the next one, which may send it a second time: at least once, never lost.

    Parameters
    ----------
    settings : AlertSettings
        Alerts that were written while there was a mail server or a webhook fail once there is none.
    transaction : callable
        Opens a database transaction and gives its connection.
    """

    def __init__(self, settings: AlertSettings, transaction: Transaction) -> None:
        self._settings = settings
        self._transaction = transaction
        self._ending = threading.Event()

    def stop(self) -> None:
        """Let the alert that is on its way be the last one; from any thread."""
        self._ending.set()

    def deliver_due(self, now: datetime) -> int:
        """Deliver what is due, at most 20 alerts; return how many were sent."""
        begun = time.monotonic()
        sent = 0
        with self._transaction() as conn:
            row = self._claim(conn, now)
        for left in reversed(range(BATCH)):
            if row is None:
                break
            outcome = self._send(row)
            sent += outcome.end is End.SENT
            at = now + timedelta(seconds=time.monotonic() - begun)
            with self._transaction() as conn:
                conn.execute(update(outbox).where(outbox.c.id == row.id).values(**_settled(row, outcome, at)))
                row = self._claim(conn, at) if left else None
        return sent

    def _claim(self, conn: Connection, now: datetime) -> Any:
        """Take the alert that is due for longest, or None."""
        if self._ending.is_set():
            return None
        row = conn.execute(
            select(outbox)
            .where(outbox.c.sent.is_(None), outbox.c.failed.is_(None), outbox.c.next_try <= now)
            .order_by(outbox.c.next_try, outbox.c.id)
            .limit(1)
        ).first()
        if row is None:
            return None
        mine = conn.execute(
            update(outbox)
            .where(outbox.c.id == row.id, outbox.c.next_try == row.next_try, outbox.c.sent.is_(None))
            .values(next_try=now + _LEASE)
        )
        return row if mine.rowcount else None

    def forget_old(self, now: datetime) -> None:
        """Delete rows that were settled a month ago."""
        with self._transaction() as conn:
            conn.execute(
                delete(outbox).where(
                    outbox.c.created < now - _KEEP, outbox.c.sent.is_not(None) | outbox.c.failed.is_not(None)
                )
            )

    def _send(self, row: Any) -> Outcome:
        try:
            message = compose(Event(row.event), row.payload)
            if row.channel == Channel.EMAIL:
                if self._settings.mail is None:
                    return Outcome(End.NEVER, "no mail server is configured")
                send_mail(self._settings.mail, row.payload["address"], message)
            else:
                if self._settings.webhook_url is None:
                    return Outcome(End.NEVER, "no webhook is configured")
                secret = self._settings.webhook_secret_file
                body = {"id": row.id, "event": row.event, "recipient": row.recipient, "channel": row.channel}
                send_webhook(
                    self._settings.webhook_url,
                    secret.read_bytes().strip() if secret else None,
                    {**body, "subject": message.subject, "text": message.body, "payload": row.payload},
                )
        except (OSError, smtplib.SMTPException, http.client.HTTPException) as error:
            log.warning("alert %d by %s was not delivered: %s", row.id, row.channel, type(error).__name__)
            return Outcome(End.AGAIN, f"{type(error).__name__}: {error}"[:500])
        except Exception as error:  # noqa: BLE001 - whatever one row holds, the rows behind it are delivered
            log.error("alert %d by %s cannot be made into a message: %s", row.id, row.channel, type(error).__name__)
            return Outcome(End.NEVER, f"no message could be made of it: {type(error).__name__}")
        return Outcome(End.SENT)


def _settled(row: Any, outcome: Outcome, now: datetime) -> dict[str, Any]:
    tries = row.tries + 1
    if outcome.end is End.SENT:
        return {"sent": now, "tries": tries}
    if outcome.end is End.NEVER or tries >= MAX_TRIES:
        return {"failed": outcome.why, "tries": tries}
    return {"tries": tries, "next_try": now + _FIRST_PAUSE * 2**tries}
