"""Alerts against a real SMTP server and a real webhook receiver on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import create_engine, insert, select

from aizen_hub.alerts.delivery import MAX_ATTEMPTS, AlertDelivery
from aizen_hub.alerts.expiry import alert_expiring_assignments
from aizen_hub.alerts.message import AlertEvent, compose_message
from aizen_hub.alerts.outbox import alert_user
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store.tables import assignment_rows, metadata, outbox, users

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Mailbox:
    def __init__(self):
        self.mails = []
        self.refuse = False

    async def handle_DATA(self, server, session, envelope):
        if self.refuse:
            return "451 try again later"
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def mailbox():
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=0)
    # The controller connects to the port it was given, so it cannot be 0: find a free one.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        controller.port = probe.getsockname()[1]
    controller.start()
    box.port = controller.port
    yield box
    controller.stop()


@pytest.fixture
def receiver():
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers, body))
            self.send_response(server.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status = 204
    server.received = received
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def user_row(name, email, phone, alerts):
    common = {"provider": "local", "display_name": "", "active": True, "created": NOW}
    return {**common, "name": name, "email": email, "phone": phone, "alerts": alerts}


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/alerts.sqlite")
    metadata.create_all(engine)
    with engine.begin() as conn:
        conn.execute(
            insert(users),
            [
                user_row("ada", "ada@example.org", "+1555", {"email": True, "phone": True}),
                user_row("ben", "ben@example.org", None, {"email": False, "phone": True}),
                user_row("eve", None, None, {"email": True}),
            ],
        )
    yield engine
    engine.dispose()


def make_delivery(engine, mailbox=None, receiver=None, secret=None):
    mail = None
    if mailbox:
        mail = MailSettings(host="127.0.0.1", port=mailbox.port, sender="hub@example.org", starttls=False)
    url = f"http://127.0.0.1:{receiver.server_port}/hook?x=1" if receiver else None
    settings = AlertSettings(mail=mail, webhook_url=url, webhook_secret_file=secret)

    @contextmanager
    def transaction():
        with engine.begin() as conn:
            yield conn

    return AlertDelivery(settings, transaction)


BOTH = AlertSettings(
    mail=MailSettings(host="mail.example.org", sender="hub@example.org"), webhook_url="https://hook.example.org"
)


def fake_transaction(conn, now=NOW, alerts=BOTH):
    """Return a test double of a transaction, as far as alerts use one."""
    return SimpleNamespace(conn=conn, now=now, settings=SimpleNamespace(alerts=alerts))


def rows(engine):
    with engine.connect() as conn:
        return conn.execute(select(outbox).order_by(outbox.c.id)).all()


GRANT = {"role": "PROJECT_READER", "scope": "fraud", "by": "user:root", "reason": "joins the team"}


@pytest.mark.parametrize(
    ("user", "channels"),
    [
        ("ada", ["email", "phone", "webhook"]),
        ("ben", ["webhook"]),  # wants no mail, has no phone
        ("eve", ["webhook"]),  # wants mail, has no address
        ("unknown", ["webhook"]),
    ],
)
def test_preferences_choose_the_channels(engine, user, channels):
    with engine.begin() as conn:
        alert_user(fake_transaction(conn), user, AlertEvent.ROLE_GRANTED, GRANT)
    assert sorted(row.channel for row in rows(engine)) == channels


def test_an_email_arrives_once_and_describes_the_event(engine, mailbox):
    with engine.begin() as conn:
        alert_user(fake_transaction(conn), "ada", AlertEvent.ROLE_GRANTED, GRANT)
    delivery = make_delivery(engine, mailbox)
    assert delivery.deliver_due(NOW) == 1
    assert delivery.deliver_due(NOW + timedelta(hours=1)) == 0
    (mail,) = mailbox.mails
    assert mail.rcpt_tos == ["ada@example.org"]
    text = mail.content.decode()
    assert "Subject: You have PROJECT_READER in fraud" in text
    assert "joins the team" in text


def test_a_rejected_email_is_retried_a_limited_number_of_times(engine, mailbox):
    with engine.begin() as conn:
        alert_user(fake_transaction(conn), "ada", AlertEvent.ROLE_GRANTED, GRANT)
    delivery = make_delivery(engine, mailbox)
    mailbox.refuse = True
    assert delivery.deliver_due(NOW) == 0
    assert delivery.deliver_due(NOW) == 0  # not due yet
    assert next(row for row in rows(engine) if row.channel == "email").attempts == 1
    mailbox.refuse = False
    assert delivery.deliver_due(NOW + timedelta(minutes=5)) == 1
    with engine.begin() as conn:
        alert_user(fake_transaction(conn), "ada", AlertEvent.ROLE_REVOKED, GRANT)
    mailbox.refuse = True
    for day in range(MAX_ATTEMPTS + 2):
        delivery.deliver_due(NOW + timedelta(days=day + 1))
    last = [row for row in rows(engine) if row.channel == "email"][-1]
    assert (last.attempts, last.sent) == (MAX_ATTEMPTS, None)
    assert last.failure


@pytest.mark.proves("R99")
def test_an_alert_that_cannot_be_sent_does_not_block_others(engine, mailbox):
    addresses = ["a:;@b", "x@a.example, all@b.example", "\u00e4@b", "a@b\nBcc: all@b.example"]
    with engine.begin() as conn:
        conn.execute(
            insert(users), [user_row(f"u{n}", address, None, {"email": True}) for n, address in enumerate(addresses)]
        )
        for name in ("u0", "u1", "u2", "u3", "ada"):
            alert_user(fake_transaction(conn), name, AlertEvent.ROLE_GRANTED, GRANT)
        conn.execute(insert(outbox).values(event="no such event", recipient="ada", channel="email", payload={},
                     attempts=0, created=NOW - timedelta(days=1), next_attempt=NOW - timedelta(days=1)))  # fmt: skip
    make_delivery(engine, mailbox).deliver_due(NOW)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["ada@example.org"]]
    failed = [row for row in rows(engine) if row.channel == "email" and row.recipient != "ada"]
    assert [bool(row.failure or row.attempts) for row in failed] == [True] * len(addresses)


def test_the_webhook_is_signed_and_its_redirect_not_followed(engine, receiver, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a secret of the receiver\n")
    with engine.begin() as conn:
        alert_user(fake_transaction(conn), "ben", AlertEvent.ROLE_GRANTED, GRANT)
    receiver.status = 302
    delivery = make_delivery(engine, receiver=receiver, secret=secret)
    assert delivery.deliver_due(NOW) == 0
    assert len(receiver.received) == 1
    receiver.status = 204
    assert delivery.deliver_due(NOW + timedelta(minutes=5)) == 1
    headers, body = receiver.received[-1]
    expected = hmac.new(b"a secret of the receiver", body, hashlib.sha256).hexdigest()
    assert headers["X-Aizen-Signature"] == f"sha256={expected}"
    assert json.loads(body)["event"] == "role-granted"


def test_nothing_is_sent_when_the_change_rolls_back(engine, mailbox):
    with engine.connect() as conn:
        alert_user(fake_transaction(conn), "ada", AlertEvent.ROLE_GRANTED, GRANT)
        conn.rollback()
    assert make_delivery(engine, mailbox).deliver_due(NOW) == 0
    assert mailbox.mails == []


def test_an_expiring_role_is_alerted_once(engine):
    row = {"scope": "fraud", "role": "PROJECT_READER", "granted_by": "user:root", "granted": NOW, "revision": 1}
    with engine.begin() as conn:
        conn.execute(
            insert(assignment_rows),
            [
                {**row, "identity": "user:ada", "ends": NOW + timedelta(hours=10)},
                {**row, "identity": "user:ben", "ends": NOW + timedelta(days=10)},
                {**row, "identity": "user:eve", "ends": NOW - timedelta(hours=1)},
            ],
        )
        assert alert_expiring_assignments(fake_transaction(conn), timedelta(hours=72)) == 3
        assert alert_expiring_assignments(fake_transaction(conn, NOW + timedelta(minutes=1)), timedelta(hours=72)) == 0
    assert {row.payload["role"] for row in rows(engine)} == {"PROJECT_READER"}


@pytest.mark.proves("R99")
def test_text_from_users_adds_no_header_and_no_line():
    hostile = {**GRANT, "role": "X\r\nBcc: all@example.org", "reason": "a\nb" + "c" * 10_000}
    message = compose_message(AlertEvent.ROLE_GRANTED, hostile)
    assert "\n" not in message.subject
    assert "\r" not in message.subject
    assert message.body.count("\n") == 2
    assert len(message.body) < 1_200
