"""The HTTP server on the wire: bytes that are not HTTP, too long, too slow or cut off, and pipelined requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from tornado.netutil import bind_sockets

from aizen_hub.service.app import create_app
from aizen_hub.service.http import connection_limits, listener
from tests.service.conftest import Driver, Session

GET_ME = "GET /api/v1/me HTTP/1.1\r\nHost: a\r\n"
POST_DECISION = "POST /api/v1/decisions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
DECISION_BODY = b'{"command":"list projects"}'


class Wire:
    """One connection to the service, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, service: Driver, **more: int) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", service.server.port, **more))

    @property
    def open(self) -> bool:
        return not self._writer.is_closing()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> tuple[int, str]:
        async with asyncio.timeout(30):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        return int(head.split()[1]), head

    async def receive(self) -> tuple[int, bytes]:
        """Return the status and body of the next response that has a length."""
        status, head = await self.head()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        async with asyncio.timeout(30):
            return status, await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """Return what arrives until the connection ends."""
        async with asyncio.timeout(30):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def is_closed(self) -> bool:
        """Whether the connection ends and nothing arrives before."""
        return await self.rest() == b""

    def close(self) -> None:
        self._writer.close()


def lines(*fields: str) -> bytes:
    return ("GET /livez HTTP/1.1\r\nHost: a\r\n" + "".join(f"{field}\r\n" for field in fields) + "\r\n").encode(
        "latin-1"
    )


@pytest.mark.proves("R99", "R126")
@pytest.mark.parametrize(
    "sent",
    [
        b"canary-line\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary-line\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: canary-line\r\n\r\n",
        lines("canary-line"),
        lines("canary line: a"),
        lines("A: b", " canary-line"),
        lines("A: canary-line\0"),
        lines("Content-Length: 4", "Content-Length: 5"),
        lines("Content-Length: -1"),
        lines("Content-Length: 1_0"),
        lines("Content-Length: 4", "Transfer-Encoding: chunked"),
        lines("Transfer-Encoding: chunked, canary-line"),
        lines("Host: canary-line"),
        lines("A: " + "canary-line" * 1_000),
        b"GET /" + b"canary-line" * 1_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        lines(*(f"A{index}: canary-line" for index in range(80))),
    ],
)
async def test_bytes_that_are_no_request_get_a_problem_document(
    service: Driver, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """And what follows is not read: two parsers could disagree about where the first request ends."""
    caplog.set_level(logging.INFO)
    wire = await Wire.to(service)
    await wire.send(sent + lines())
    status, body = await wire.receive()
    assert status == 400
    assert json.loads(body)["type"] == "/services/aizen/docs/problems/bad-input"
    assert b"canary-line" not in body
    assert await wire.is_closed()
    assert "canary-line" not in caplog.text
    assert (await service.call("GET", "/livez")).status == 200


FIELDS_READ = (
    "Authorization", "Content-Type", "Content-Encoding", "Cookie", "DPoP", "Expect", "Idempotency-Key", "If-Match",
    "Prefer", "Sec-Fetch-Site", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID", "X-XSRF-Token",
)  # fmt: skip


@pytest.mark.proves("R110", "R126")
@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xa0\x80", "ü".encode(), b"a" * 9_000])
async def test_no_header_value_causes_an_error(service: Driver, value: bytes) -> None:
    eve = await service.open("eve")
    for name in FIELDS_READ:
        await _send_with_field(service, eve, name, value)


async def _send_with_field(service: Driver, eve: Session, name: str, value: bytes) -> None:
    authorization = b"" if name == "Authorization" else f"Authorization: {eve.auth}\r\n".encode()
    field = name.encode() + b": " + value + b"\r\n"
    length = f"Content-Length: {len(DECISION_BODY)}\r\n\r\n".encode()
    for prefix in ("", service.context.prefix.rstrip("/")):
        for head in (
            POST_DECISION.replace("/api", prefix + "/api", 1),
            f"PUT {prefix}/api/v1/roles/odd HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n",
        ):
            wire = await Wire.to(service)
            await wire.send(head.encode() + authorization + field + length + DECISION_BODY)
            status, _ = await wire.receive()
            assert status < 500, (name, value)
            wire.close()


@pytest.mark.proves("R126")
async def test_the_header_fields_together_are_bounded(service: Driver) -> None:
    wire = await Wire.to(service)
    await wire.send(lines(*(f"A{index}: {'a' * 1000}" for index in range(20))))
    assert (await wire.receive())[0] == 413
    await wire.send(lines(*(f"{'a' * 1000}{index}: a" for index in range(20))))
    assert (await wire.receive())[0] == 413
    wire.close()


@pytest.mark.proves("R126")
async def test_an_endless_head_ends_its_connection(service: Driver) -> None:
    wire = await Wire.to(service)
    with suppress(ConnectionError):
        for index in range(50):
            await wire.send(f"{'' if index else 'GET / HTTP/1.1'}\r\nA{index}: {'a' * 2000}".encode())
            await asyncio.sleep(0.002)
    assert await wire.is_closed()


@pytest.mark.proves("R126")
@pytest.mark.parametrize(
    ("target", "status"), [("POST /api/v1/decisions", 413), ("POST /nowhere", 404), ("PUT /api/v1/me", 405)]
)
async def test_an_unwanted_body_is_refused_before_it_arrives(service: Driver, target: str, status: int) -> None:
    wire = await Wire.to(service)
    await wire.send(f"{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".encode())
    received, head = await wire.head()
    assert (received, "Connection: close" in head) == (status, True)
    wire.close()


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.proves("R49", "R126")
async def test_nothing_is_read_after_a_chunked_body(service: Driver) -> None:
    """Trailers would become headers of the next request, such as a credential."""
    eve = await service.open("eve")
    head = f"{POST_DECISION}Authorization: {eve.auth}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for pause in (0, 0.1):
        wire = await Wire.to(service)
        await wire.send(
            head + chunks(DECISION_BODY[:5], DECISION_BODY[5:]) + f"0\r\nAuthorization: {eve.auth}\r\n\r\n".encode()
        )
        await asyncio.sleep(pause)
        with suppress(ConnectionError):
            await wire.send(f"{GET_ME}\r\n".encode())
        status, answer = await wire.head()
        assert (status, "Connection: close" in answer) == (200, True)
        assert b"HTTP/1.1" not in await wire.rest()


@pytest.mark.proves("R126")
async def test_a_chunked_body_is_bounded(service: Driver) -> None:
    eve = await service.open("eve")
    wire = await Wire.to(service)
    await wire.send(f"{POST_DECISION}Authorization: {eve.auth}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    with suppress(ConnectionError):
        for _ in range(8):
            await wire.send(chunks(b"a" * 20_000))
    assert (await wire.receive())[0] == 413
    wire.close()


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_no_other_transfer_coding_is_read(service: Driver, coding: str, version: str) -> None:
    wire = await Wire.to(service)
    await wire.send(
        f"{POST_DECISION}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".replace("/1.1", f"/{version}").encode()
    )
    assert (await wire.receive())[0] == 400
    assert await wire.is_closed()


@pytest.mark.proves("R49", "R126")
@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_nothing_is_read_after_an_upgrade_request(service: Driver, upgrade: str) -> None:
    wire = await Wire.to(service)
    body = lines()
    first = f"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode()
    await wire.send(first + f"{POST_DECISION}Content-Length: {len(body)}\r\n\r\n".encode())
    assert (await wire.receive())[0] == 200
    with suppress(ConnectionError):
        await wire.send(body)
    assert await wire.rest() == b""


async def test_a_client_that_disconnects_in_a_body_causes_no_error(
    service: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        wire = await Wire.to(service)
        await wire.send(f"{POST_DECISION}Content-Length: 4000\r\n\r\nabc".encode())
        await asyncio.sleep(0.005)
        wire.close()
    await asyncio.sleep(0.05)
    assert (await service.call("GET", "/livez")).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_requests_on_open_connections_are_answered_while_the_service_stops(service: Driver) -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(create_app(service.context), 5)
    await other.start(sockets)
    idle, slow = [Wire(*await asyncio.open_connection(*sockets[0].getsockname())) for _ in range(2)]
    await slow.send(f"{POST_DECISION}Content-Length: {len(DECISION_BODY)}\r\n\r\n".encode())
    await asyncio.sleep(0.1)
    await other.stop()
    await idle.send(lines())
    assert (await idle.receive())[0] == 200
    await slow.send(DECISION_BODY)
    assert (await slow.receive())[0] == 401
    await other.close()
    assert await idle.is_closed()


async def test_a_body_that_never_arrives_does_not_delay_the_stop(
    service: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(create_app(service.context), 0.1)
    await other.start(sockets)
    wire = Wire(*await asyncio.open_connection(*sockets[0].getsockname()))
    await wire.send(f"{POST_DECISION}Content-Length: 4000\r\n\r\nabc".encode())
    await asyncio.sleep(0.1)
    await other.stop()
    await other.close()
    assert (await wire.receive())[0] == 503
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def _suspend() -> None:
    time.sleep(0.2)


async def test_a_request_whose_client_disconnected_is_not_executed(service: Driver) -> None:
    """It was buffered while the process was suspended, and its client has reported a failure."""
    boss = await service.open("boss")
    body = b'{"name":"LATE","permissions":["execute:training"],"scopes":["project"]}'
    head = "POST /api/v1/roles HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    whole = f"{head}Authorization: {boss.auth}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    before = service.revision()
    with socket.create_connection(("127.0.0.1", service.server.port)) as connection:
        connection.sendall(whole)
    _suspend()
    await asyncio.sleep(0.5)
    assert service.revision() == before
    wire = await Wire.to(service)
    await wire.send(whole)
    assert (await wire.receive())[0] == 201
    wire.close()


def test_requests_may_have_waited_for_a_while_after_a_gap() -> None:
    now = 100.0
    watch = listener.ArrivalWatch(lambda: now)

    def note(*steps: float) -> list[bool]:
        nonlocal now
        out = []
        for step in steps:
            now += step
            watch.note_arrival()
            out.append(watch.may_have_waited)
        return out

    assert note(0.0) == [True]
    assert note(*[0.09] * 54) == [True] * 54
    assert note(*[0.09] * 100)[3:] == [False] * 97
    assert note(0.11, 0.0, 0.01) == [True, True, True]
    assert note(*[0.5] * 50) == [True] * 50


@pytest.mark.proves("R126")
async def test_the_body_has_a_deadline(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "BODY_SECONDS", 0.2)
    wire = await Wire.to(service)
    await wire.send(f"{POST_DECISION}Content-Length: 4000\r\n\r\nabc".encode())
    status, body = await wire.receive()
    assert (status, json.loads(body)["type"]) == (408, "/services/aizen/docs/problems/request-timeout")
    assert await wire.is_closed()


@pytest.mark.proves("R126")
@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHo", lines()])
async def test_an_idle_connection_ends(service: Driver, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(listener, "IDLE_SECONDS", 0.3)
    sockets = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(create_app(service.context), 1)
    await other.start(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    writer.write(sent)
    async with asyncio.timeout(30):
        await reader.read()
    writer.close()
    await other.stop()
    await other.close()


async def test_100_continue_is_sent_when_the_body_is_wanted(service: Driver) -> None:
    eve = await service.open("eve")
    wire = await Wire.to(service)
    fields = f"Authorization: {eve.auth}\r\nContent-Length: {len(DECISION_BODY)}\r\nExpect: 100-continue\r\n\r\n"
    await wire.send((POST_DECISION + fields).encode())
    assert (await wire.head())[0] == 100
    await wire.send(DECISION_BODY)
    assert (await wire.receive())[0] == 200
    wire.close()


@pytest.mark.proves("R126", "T-51")
async def test_compressed_bodies_are_refused(service: Driver) -> None:
    eve = await service.open("eve")
    bomb = gzip.compress(bytes(50 << 20))
    assert len(bomb) < 60_000
    answer = await service.call(
        "POST", "/api/v1/decisions", raw=bomb, auth=eve.auth, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 415


@pytest.mark.proves("R126", "R127")
async def test_requests_sent_ahead_of_a_response_are_bounded(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = await service.open("eve")
    decide = service.context.decisions.decide

    async def slow(request: Any) -> Any:
        await asyncio.sleep(2)
        return await decide(request)

    monkeypatch.setattr(service.context.decisions, "decide", slow)
    wire = await Wire.to(service)
    fields = f"Authorization: {eve.auth}\r\nContent-Length: {len(DECISION_BODY)}\r\n\r\n"
    await wire.send((POST_DECISION + fields).encode() + DECISION_BODY)
    await asyncio.sleep(0.1)
    with suppress(ConnectionError):
        for _ in range(30):
            await wire.send(lines(f"A: {'a' * 8000}"))
            await asyncio.sleep(0.01)
    assert await wire.is_closed()


@pytest.mark.proves("R126", "R127")
async def test_a_client_that_does_not_read_is_disconnected(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """And little of what it sends meanwhile is buffered."""
    monkeypatch.setattr(connection_limits, "READER_SECONDS", 0.5)
    wire = await Wire.to(service, limit=1_024)
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(30):
            while True:
                await wire.send(request * 30)
    assert not wire.open


@pytest.mark.proves("R49")
async def test_pipelined_requests_are_separate(service: Driver) -> None:
    """In one packet, and cut anywhere: each is answered as its own principal."""
    eve, boss = await service.open("eve"), await service.open("boss")
    whole = b"".join(_signed(session.auth) for session in (eve, boss, eve, boss)) + _signed("Bearer a.b.c")
    expected = [b'"eve"', b'"boss"', b'"eve"', b'"boss"', b"/services/aizen/docs/problems/not-authenticated"]
    for cut in (len(whole), 7, len(whole) // 2, len(_signed(eve.auth)) + 3):
        wire = await Wire.to(service)
        await wire.send(whole[:cut])
        await asyncio.sleep(0.02)
        await wire.send(whole[cut:])
        for text in expected:
            assert text in (await wire.receive())[1]
        wire.close()


def _signed(auth: str) -> bytes:
    return f"{GET_ME}Authorization: {auth}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status", "stays_open"),
    [
        (b"GET /livez HTTP/1.0\r\n\r\n", 200, False),
        (b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, True),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, False),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200, False),
        (b"GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", 400, False),
        (b"GET /livez HTTP/0.9\r\n\r\n", 400, False),
        (b"GET http://elsewhere/livez HTTP/1.1\r\nHost: a\r\n\r\n", 404, True),
        (b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: a\r\n\r\n", 404, False),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, True),
        (b"GET //livez HTTP/1.1\r\nHost: a\r\n\r\n", 404, True),
        (b"GET /x/../livez HTTP/1.1\r\nHost: a\r\n\r\n", 404, True),
        (b"GET /%6civez HTTP/1.1\r\nHost: a\r\n\r\n", 404, True),
        (b"GET /livez#x HTTP/1.1\r\nHost: a\r\n\r\n", 404, True),
    ],
)
async def test_request_targets_are_compared_as_sent(
    service: Driver, sent: bytes, status: int, stays_open: bool
) -> None:
    """Nothing in a path is decoded or normalized before it is matched."""
    wire = await Wire.to(service)
    await wire.send(sent)
    assert (await wire.receive())[0] == status
    if stays_open:
        await wire.send(lines())
        assert (await wire.receive())[0] == 200
        wire.close()
    else:
        assert await wire.is_closed()


async def test_a_response_to_head_has_no_body(service: Driver) -> None:
    wire = await Wire.to(service)
    await wire.send(b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    status, head = await wire.head()
    assert (status, "Allow: GET" in head) == (405, True)
    await wire.send(lines())
    assert (await wire.receive())[0] == 200
    wire.close()


async def test_no_input_adds_a_response_header(service: Driver) -> None:
    """Names in paths, and other input that is returned in a header, cannot begin another header."""
    for path in _paths_with_line_breaks():
        wire = await Wire.to(service)
        await wire.send(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        _, head = await wire.head()
        assert "canary" not in head.lower()
        wire.close()


def _paths_with_line_breaks() -> Iterable[bytes]:
    for address in (b"/", b"/api/v1/projects/", b"/services/aizen/", b"/services/aizen/projects/"):
        yield address + b"a%0d%0aCanary:%20b"
        yield address + b"?next=%0d%0aCanary:%20b"


async def test_a_field_in_two_lines_is_one_field(service: Driver) -> None:
    """A dry run requested in the second line is one; a second condition does not replace the first."""
    boss = await service.open("boss")
    role = {"name": "ODD", "permissions": ["execute:training"], "scopes": ["project"]}
    assert (await service.call("POST", "/api/v1/roles", role, auth=boss.auth)).status == 201

    async def status_of(line: str, body: bytes, *fields: str) -> int:
        wire = await Wire.to(service)
        head = [line, "Host: a", f"Authorization: {boss.auth}", "Content-Type: application/json", *fields]
        await wire.send("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        status, _ = await wire.receive()
        wire.close()
        return status

    change = "PATCH /api/v1/roles/ODD HTTP/1.1"
    assert await status_of(change, b'{"description":"x"}', 'If-Match: "999"') == 412
    for first in ("If-Match:", "If-Match: *"):
        assert await status_of(change, b'{"description":"x"}', first, 'If-Match: "999"') == 400
    before = service.revision()
    assert await status_of(change, b'{"description":"y"}', "Prefer: respond-async", "Prefer: dry-run") == 200
    assert service.revision() == before


async def test_a_connection_that_was_just_accepted_is_answered_by_a_listener_that_stops(service: Driver) -> None:
    """T-45: a rolling restart loses no request; asyncio drops what it accepted in the turn in which it stops."""
    (bound,) = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(create_app(service.context), 5)
    await other.start([bound])
    with socket.create_connection(bound.getsockname()) as client:
        # The first turn finds the connection, the second one accepts it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await other.stop()
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.to_thread(client.recv, 100)
    await other.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
