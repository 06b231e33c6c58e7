"""Delivery of due alerts from the outbox, with exponential backoff, in a thread of its own."""

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
from aizen_hub.alerts.message import AlertEvent, compose_message
from aizen_hub.alerts.outbox import AlertChannel
from aizen_hub.alerts.webhook import WebhookError, send_webhook
from aizen_hub.secret_files import SecretFileError
from aizen_hub.settings import AlertSettings
from aizen_hub.store.tables import outbox

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
MAX_BATCH = 20
_RETRY_DELAY = timedelta(seconds=5)
_RETENTION = timedelta(days=30)
# Longer than one alert can take: an e-mail is a dozen steps of at most ten seconds.
_LEASE = timedelta(minutes=5)

Transaction = Callable[[], AbstractContextManager[Connection]]


class DeliveryStatus(Enum):
    """The status of one attempt to deliver an alert."""

    SENT = auto()
    RETRY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of one attempt, with the reason unless it was sent."""

    status: DeliveryStatus
    reason: str = ""


class AlertDelivery:
    """Delivers alerts; `deliver_due` is called in a worker thread every few seconds.

    Each alert is claimed for five minutes right before it is sent, so that two replicas do not both send it. If the
    process ends in between, another one sends it, perhaps a second time: delivery is at least once.

    Parameters
    ----------
    settings : AlertSettings
        An alert fails if its mail server or webhook is no longer configured.
    transaction : callable
        Opens a database transaction and returns its connection.
    panel_url : str
        Address of the panel for browsers, for links in messages; empty: no links.
    """

    def __init__(self, settings: AlertSettings, transaction: Transaction, panel_url: str = "") -> None:
        self._settings = settings
        self._panel_url = panel_url
        self._transaction = transaction
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop after the alert that is being sent; may be called from any thread."""
        self._stopping.set()

    def deliver_due(self, now: datetime) -> int:
        """Deliver due alerts, at most 20; return how many were sent."""
        started = time.monotonic()
        sent = 0
        with self._transaction() as conn:
            row = self._claim(conn, now)
        for remaining in reversed(range(MAX_BATCH)):
            if row is None:
                break
            result = self._send(row)
            sent += result.status is DeliveryStatus.SENT
            at = now + timedelta(seconds=time.monotonic() - started)
            with self._transaction() as conn:
                conn.execute(update(outbox).where(outbox.c.id == row.id).values(**_result_values(row, result, at)))
                row = self._claim(conn, at) if remaining else None
        return sent

    def _claim(self, conn: Connection, now: datetime) -> Any:
        """Claim the alert that has been due for longest; None if there is none."""
        if self._stopping.is_set():
            return None
        row = conn.execute(
            select(outbox)
            .where(outbox.c.sent.is_(None), outbox.c.failure.is_(None), outbox.c.next_attempt <= now)
            .order_by(outbox.c.next_attempt, outbox.c.id)
            .limit(1)
        ).first()
        if row is None:
            return None
        claimed = conn.execute(
            update(outbox)
            .where(outbox.c.id == row.id, outbox.c.next_attempt == row.next_attempt, outbox.c.sent.is_(None))
            .values(next_attempt=now + _LEASE)
        )
        return row if claimed.rowcount else None

    def delete_old(self, now: datetime) -> None:
        """Delete alerts that were sent or given up a month ago."""
        with self._transaction() as conn:
            conn.execute(
                delete(outbox).where(
                    outbox.c.created < now - _RETENTION, outbox.c.sent.is_not(None) | outbox.c.failure.is_not(None)
                )
            )

    def _send(self, row: Any) -> DeliveryResult:
        try:
            message = compose_message(AlertEvent(row.event), row.payload, self._panel_url)
            if row.channel == AlertChannel.EMAIL:
                if self._settings.mail is None:
                    return DeliveryResult(DeliveryStatus.FAILED, "no mail server is configured")
                send_mail(self._settings.mail, row.payload["address"], message)
            else:
                url = self._settings.read_webhook_url()
                if url is None:
                    return DeliveryResult(DeliveryStatus.FAILED, "no webhook is configured")
                secret = self._settings.webhook_secret_file
                body = {"id": row.id, "event": row.event, "recipient": row.recipient, "channel": row.channel}
                send_webhook(
                    url,
                    secret.read_bytes().strip() if secret else None,
                    {**body, "subject": message.subject, "text": message.body, "payload": row.payload},
                )
        except SecretFileError as error:
            log.error("alert %d by %s was not delivered: %s", row.id, row.channel, error)
            return DeliveryResult(DeliveryStatus.RETRY, f"the address of the webhook cannot be read: {error.reason}")
        except WebhookError as error:
            log.warning("alert %d by %s was not delivered: %s", row.id, row.channel, error)
            return DeliveryResult(DeliveryStatus.RETRY, str(error))
        except http.client.HTTPException as error:
            # Without its text, which may quote the address or the response.
            log.warning("alert %d by %s was not delivered: %s", row.id, row.channel, type(error).__name__)
            return DeliveryResult(DeliveryStatus.RETRY, f"the webhook did not respond properly: {type(error).__name__}")
        except (OSError, smtplib.SMTPException) as error:
            log.warning("alert %d by %s was not delivered: %s", row.id, row.channel, type(error).__name__)
            return DeliveryResult(DeliveryStatus.RETRY, f"{type(error).__name__}: {error}"[:500])
        except Exception as error:  # noqa: BLE001 - an invalid alert must not block the following ones
            log.error("alert %d by %s cannot be composed: %s", row.id, row.channel, type(error).__name__)
            return DeliveryResult(DeliveryStatus.FAILED, f"the message could not be composed: {type(error).__name__}")
        return DeliveryResult(DeliveryStatus.SENT)


def _result_values(row: Any, result: DeliveryResult, now: datetime) -> dict[str, Any]:
    attempts = row.attempts + 1
    if result.status is DeliveryStatus.SENT:
        return {"sent": now, "attempts": attempts}
    if result.status is DeliveryStatus.FAILED or attempts >= MAX_ATTEMPTS:
        return {"failure": result.reason, "attempts": attempts}
    return {"attempts": attempts, "next_attempt": now + _RETRY_DELAY * 2**attempts}
