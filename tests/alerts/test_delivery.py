"""One courier among several, and one that is told to stop; a real receiver on loopback, which takes its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, select

from aizen_hub.alerts.delivery import BATCH, Courier, End, Outcome
from aizen_hub.settings import AlertSettings
from aizen_hub.store.tables import metadata, outbox

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MANY = 5


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/alerts.sqlite")
    metadata.create_all(engine)
    row = {"recipient": "*", "channel": "webhook", "event": "job-done", "payload": {}, "tries": 0}
    with engine.begin() as conn:
        conn.execute(insert(outbox), [{**row, "created": NOW, "next_try": NOW} for _ in range(MANY)])
    yield engine
    engine.dispose()


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A webhook that does what ``server.then`` says before it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            server.got += 1
            server.then()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.then = 0, lambda: None
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def courier(engine: Engine, receiver: Any) -> Courier:
    @contextmanager
    def transaction() -> Iterator[Connection]:
        with engine.begin() as conn:
            yield conn

    return Courier(AlertSettings(webhook_url=f"http://127.0.0.1:{receiver.server_port}/"), transaction)


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as conn:
        return list(conn.execute(select(outbox).order_by(outbox.c.id)))


def test_only_what_is_on_its_way_is_claimed_and_for_longer_than_it_can_take(engine: Engine, receiver: Any) -> None:
    claimed: list[list[timedelta]] = []

    def look() -> None:
        claimed.append([row.next_try - NOW for row in rows(engine) if row.sent is None and row.next_try > NOW])

    receiver.then = look
    assert courier(engine, receiver).deliver_due(NOW) == MANY
    assert [len(one) for one in claimed] == [1] * MANY
    # Connecting, greeting, TLS, signing in, sender, recipient, text and farewell, ten seconds each.
    assert all(one[0] > timedelta(seconds=140) for one in claimed)


def test_another_courier_takes_the_next_one_and_none_goes_twice(engine: Engine, receiver: Any) -> None:
    other = courier(engine, receiver)
    sent: list[int] = []

    def meanwhile() -> None:
        if not sent:
            sent.append(-1)
            thread = threading.Thread(target=lambda: sent.append(other.deliver_due(NOW)))
            thread.start()
            helpers.append(thread)

    helpers: list[threading.Thread] = []
    receiver.then = meanwhile
    mine = courier(engine, receiver).deliver_due(NOW)
    for thread in helpers:
        thread.join(30)
    assert mine + sent[1] == MANY == receiver.got


def test_told_to_stop_it_sends_nothing_more_and_keeps_nothing(engine: Engine, receiver: Any) -> None:
    post = courier(engine, receiver)
    receiver.then = post.stop
    assert post.deliver_due(NOW) == 1
    assert receiver.got == 1
    assert all(row.next_try == NOW for row in rows(engine) if row.sent is None), "the next one finds them at once"
    assert post.deliver_due(NOW) == 0
    assert courier(engine, receiver).deliver_due(NOW) == MANY - 1


def test_a_round_ends_although_more_is_due(engine: Engine, receiver: Any) -> None:
    row = {"recipient": "*", "channel": "webhook", "event": "job-done", "payload": {}, "tries": 0}
    with engine.begin() as conn:
        conn.execute(insert(outbox), [{**row, "created": NOW, "next_try": NOW} for _ in range(BATCH)])
    assert courier(engine, receiver).deliver_due(NOW) == BATCH
    assert [row.next_try for row in rows(engine) if row.sent is None] == [NOW] * MANY, "none is claimed in vain"


def fails(text: str) -> Callable[..., Outcome]:
    return lambda row: Outcome(End.AGAIN, text)


def test_what_an_error_says_does_not_decide_whether_it_is_final(
    engine: Engine, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = courier(engine, receiver)
    monkeypatch.setattr(post, "_send", fails("no route to host"))
    assert post.deliver_due(NOW) == 0
    assert {(row.failed, row.tries) for row in rows(engine)} == {(None, 1)}
    monkeypatch.setattr(post, "_send", lambda row: Outcome(End.NEVER, "gone"))
    assert post.deliver_due(NOW + timedelta(hours=1)) == 0
    assert {(row.failed, row.tries) for row in rows(engine)} == {("gone", 2)}
