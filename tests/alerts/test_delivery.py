"""Several concurrent alert deliveries, and one that is stopped, against a real, slow webhook on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, select

from aizen_hub.alerts.delivery import MAX_ATTEMPTS, MAX_BATCH, AlertDelivery, DeliveryResult, DeliveryStatus
from aizen_hub.settings import AlertSettings
from aizen_hub.store.tables import metadata, outbox

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MANY = 5


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/alerts.sqlite")
    metadata.create_all(engine)
    row = {"recipient": "*", "channel": "webhook", "event": "job-done", "payload": {}, "attempts": 0}
    with engine.begin() as conn:
        conn.execute(insert(outbox), [{**row, "created": NOW, "next_attempt": NOW} for _ in range(MANY)])
    yield engine
    engine.dispose()


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A webhook that calls ``server.on_request`` before it responds."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            server.received += 1
            server.on_request()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.on_request = 0, lambda: None
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_address_of_the_webhook_is_read_from_its_file_at_each_alert(
    engine: Engine, receiver: Any, tmp_path: Path
) -> None:
    """An address that holds a secret is not in the configuration, and a new one counts without a restart."""
    file = tmp_path / "webhook-url"
    file.write_text(f"http://127.0.0.1:{receiver.server_port}/T0\n")
    file.chmod(0o644)
    delivery = AlertDelivery(
        AlertSettings(webhook_url="http://127.0.0.1:9/", webhook_url_file=file), transaction_of(engine)
    )
    delivery.deliver_due(NOW)
    assert receiver.received == 0, "other accounts can read it"
    file.chmod(0o600)
    delivery.deliver_due(NOW + timedelta(days=1))
    assert receiver.received == MANY


def make_delivery(engine: Engine, receiver: Any) -> AlertDelivery:
    settings = AlertSettings(webhook_url=f"http://127.0.0.1:{receiver.server_port}/")
    return AlertDelivery(settings, transaction_of(engine))


def transaction_of(engine: Engine) -> Callable[[], AbstractContextManager[Connection]]:
    @contextmanager
    def transaction() -> Iterator[Connection]:
        with engine.begin() as conn:
            yield conn

    return transaction


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as conn:
        return list(conn.execute(select(outbox).order_by(outbox.c.id)))


def test_only_the_alert_being_sent_is_claimed_and_for_longer_than_sending_can_take(
    engine: Engine, receiver: Any
) -> None:
    claimed: list[list[timedelta]] = []

    def record_claims() -> None:
        claimed.append([row.next_attempt - NOW for row in rows(engine) if row.sent is None and row.next_attempt > NOW])

    receiver.on_request = record_claims
    assert make_delivery(engine, receiver).deliver_due(NOW) == MANY
    assert [len(leases) for leases in claimed] == [1] * MANY
    # Connect, greeting, TLS, login, sender, recipient, data and quit: ten seconds each.
    assert all(leases[0] > timedelta(seconds=140) for leases in claimed)


def test_a_concurrent_delivery_sends_the_next_one_and_none_is_sent_twice(engine: Engine, receiver: Any) -> None:
    other = make_delivery(engine, receiver)
    sent: list[int] = []

    def start_second_delivery() -> None:
        if not sent:
            sent.append(-1)
            thread = threading.Thread(target=lambda: sent.append(other.deliver_due(NOW)))
            thread.start()
            helpers.append(thread)

    helpers: list[threading.Thread] = []
    receiver.on_request = start_second_delivery
    sent_by_first = make_delivery(engine, receiver).deliver_due(NOW)
    for thread in helpers:
        thread.join(30)
    assert sent_by_first + sent[1] == MANY == receiver.received


def test_after_stop_it_sends_and_claims_nothing_more(engine: Engine, receiver: Any) -> None:
    delivery = make_delivery(engine, receiver)
    receiver.on_request = delivery.stop
    assert delivery.deliver_due(NOW) == 1
    assert receiver.received == 1
    assert all(row.next_attempt == NOW for row in rows(engine) if row.sent is None), (
        "the next delivery can send them immediately"
    )
    assert delivery.deliver_due(NOW) == 0
    assert make_delivery(engine, receiver).deliver_due(NOW) == MANY - 1


def test_a_batch_is_limited(engine: Engine, receiver: Any) -> None:
    row = {"recipient": "*", "channel": "webhook", "event": "job-done", "payload": {}, "attempts": 0}
    with engine.begin() as conn:
        conn.execute(insert(outbox), [{**row, "created": NOW, "next_attempt": NOW} for _ in range(MAX_BATCH)])
    assert make_delivery(engine, receiver).deliver_due(NOW) == MAX_BATCH
    assert [row.next_attempt for row in rows(engine) if row.sent is None] == [NOW] * MANY, "the rest is not claimed"


def failing_send(text: str) -> Callable[..., DeliveryResult]:
    return lambda row: DeliveryResult(DeliveryStatus.RETRY, text)


def test_the_status_and_not_the_text_of_an_error_is_decisive(
    engine: Engine, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = make_delivery(engine, receiver)
    monkeypatch.setattr(delivery, "_send", failing_send("no route to host"))
    assert delivery.deliver_due(NOW) == 0
    assert {(row.failure, row.attempts) for row in rows(engine)} == {(None, 1)}
    monkeypatch.setattr(delivery, "_send", lambda row: DeliveryResult(DeliveryStatus.FAILED, "gone"))
    assert delivery.deliver_due(NOW + timedelta(hours=1)) == 0
    assert {(row.failure, row.attempts) for row in rows(engine)} == {("gone", 2)}


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/secret-T0\nsecret-T1",
        "http://127.0.0.1:{port}/secret-T0 x",
        "http://127.0.0.1:secret-T0/",
        "http:" + "//[secret-T0/",
        "http:///secret-T0",
        "http:" + "//secret-T0@127.0.0.1:{port}/",
        "127.0.0.1:{port}/secret-T0",
        "ftp://127.0.0.1:{port}/secret-T0",
        "http://127.0.0.1:{port}/secret-T0/ä",
    ],
)
def test_an_invalid_address_of_the_webhook_is_named_without_its_text(
    engine: Engine, receiver: Any, tmp_path: Path, address: str
) -> None:
    """The address of a webhook is often its whole secret, and the panel shows why alerts failed."""
    file = tmp_path / "webhook-url"
    file.write_text(address.format(port=receiver.server_port))
    file.chmod(0o600)
    delivery = AlertDelivery(AlertSettings(webhook_url_file=file), transaction_of(engine))
    for attempt in range(MAX_ATTEMPTS):
        assert delivery.deliver_due(NOW + timedelta(days=attempt)) == 0
    assert receiver.received == 0
    assert {row.failure for row in rows(engine)} == {"the address of the webhook is not a valid http or https address"}
