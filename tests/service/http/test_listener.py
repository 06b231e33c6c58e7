"""What stands on the wire: what is no HTTP, too long, too slow or cut off, and requests that follow each other."""

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

from aizen_hub.service.app import make_app
from aizen_hub.service.http import connection_limits as incoming
from aizen_hub.service.http import listener
from aizen_hub.service.pipeline import endpoint as handler
from tests.service.conftest import Driver, Session

GET_ME = "GET /api/v1/me HTTP/1.1\r\nHost: a\r\n"
ASK = "POST /api/v1/decisions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
QUESTION = b'{"command":"list projects"}'


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

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> tuple[int, str]:
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        return int(head.split()[1]), head

    async def hear(self) -> tuple[int, bytes]:
        """Return the next answer that has a length."""
        status, head = await self.head()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        async with asyncio.timeout(10):
            return status, await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """Return what still comes until the connection ends."""
        async with asyncio.timeout(10):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def ended(self) -> bool:
        """Whether nothing comes any more."""
        return await self.rest() == b""

    def close(self) -> None:
        self._writer.close()


def lines(*fields: str) -> bytes:
    return ("GET /livez HTTP/1.1\r\nHost: a\r\n" + "".join(f"{one}\r\n" for one in fields) + "\r\n").encode("latin-1")


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
async def test_what_is_no_request_is_refused_in_our_words(
    service: Driver, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """And what would follow it is not read: where it ends, two readers could understand differently."""
    caplog.set_level(logging.INFO)
    wire = await Wire.to(service)
    await wire.say(sent + lines())
    status, body = await wire.hear()
    assert status == 400
    assert json.loads(body)["type"] == "urn:aizen:problem:bad-input"
    assert b"canary-line" not in body
    assert await wire.ended()
    assert "canary-line" not in caplog.text
    assert (await service.call("GET", "/livez")).status == 200


READ = (
    "Authorization", "Content-Type", "Content-Encoding", "Cookie", "DPoP", "Expect", "Idempotency-Key", "If-Match",
    "Prefer", "Sec-Fetch-Site", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID", "X-XSRF-Token",
)  # fmt: skip


@pytest.mark.proves("R110", "R126")
@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xa0\x80", "ü".encode(), b"a" * 9_000])
async def test_no_header_is_too_odd(service: Driver, value: bytes) -> None:
    eve = await service.open("eve")
    for name in READ:
        await _with_an_odd(service, eve, name, value)


async def _with_an_odd(service: Driver, eve: Session, name: str, value: bytes) -> None:
    own = b"" if name == "Authorization" else f"Authorization: {eve.auth}\r\n".encode()
    field = name.encode() + b": " + value + b"\r\n"
    length = f"Content-Length: {len(QUESTION)}\r\n\r\n".encode()
    for prefix in ("", service.house.prefix.rstrip("/")):
        for head in (
            ASK.replace("/api", prefix + "/api", 1),
            f"PUT {prefix}/api/v1/roles/odd HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n",
        ):
            wire = await Wire.to(service)
            await wire.say(head.encode() + own + field + length + QUESTION)
            status, _ = await wire.hear()
            assert status < 500, (name, value)
            wire.close()


@pytest.mark.proves("R126")
async def test_the_header_fields_together_have_a_length(service: Driver) -> None:
    wire = await Wire.to(service)
    await wire.say(lines(*(f"A{index}: {'a' * 1000}" for index in range(20))))
    assert (await wire.hear())[0] == 413
    await wire.say(lines(*(f"{'a' * 1000}{index}: a" for index in range(20))))
    assert (await wire.hear())[0] == 413
    wire.close()


@pytest.mark.proves("R126")
async def test_a_head_that_goes_on_and_on_ends_its_connection(service: Driver) -> None:
    wire = await Wire.to(service)
    with suppress(ConnectionError):
        for index in range(50):
            await wire.say(f"{'' if index else 'GET / HTTP/1.1'}\r\nA{index}: {'a' * 2000}".encode())
            await asyncio.sleep(0.002)
    assert await wire.ended()


@pytest.mark.proves("R126")
@pytest.mark.parametrize(
    ("target", "status"), [("POST /api/v1/decisions", 413), ("POST /nowhere", 404), ("PUT /api/v1/me", 405)]
)
async def test_a_body_that_is_not_wanted_is_refused_before_it_comes(service: Driver, target: str, status: int) -> None:
    wire = await Wire.to(service)
    await wire.say(f"{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".encode())
    found, head = await wire.head()
    assert (found, "Connection: close" in head) == (status, True)
    wire.close()


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.proves("R49", "R126")
async def test_nothing_is_read_after_a_body_in_chunks(service: Driver) -> None:
    """What stands behind its end would become a header of the next request: somebody's credential, for instance."""
    eve = await service.open("eve")
    head = f"{ASK}Authorization: {eve.auth}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for pause in (0, 0.1):
        wire = await Wire.to(service)
        await wire.say(head + chunks(QUESTION[:5], QUESTION[5:]) + f"0\r\nAuthorization: {eve.auth}\r\n\r\n".encode())
        await asyncio.sleep(pause)
        with suppress(ConnectionError):
            await wire.say(f"{GET_ME}\r\n".encode())
        status, answer = await wire.head()
        assert (status, "Connection: close" in answer) == (200, True)
        assert b"HTTP/1.1" not in await wire.rest()


@pytest.mark.proves("R126")
async def test_a_body_in_chunks_has_an_end(service: Driver) -> None:
    eve = await service.open("eve")
    wire = await Wire.to(service)
    await wire.say(f"{ASK}Authorization: {eve.auth}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    with suppress(ConnectionError):
        for _ in range(8):
            await wire.say(chunks(b"a" * 20_000))
    assert (await wire.hear())[0] == 413
    wire.close()


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_of_other_codings_none_is_read(service: Driver, coding: str, version: str) -> None:
    wire = await Wire.to(service)
    await wire.say(f"{ASK}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".replace("/1.1", f"/{version}").encode())
    assert (await wire.hear())[0] == 400
    assert await wire.ended()


@pytest.mark.proves("R49", "R126")
@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_nothing_is_read_after_an_offer_of_another_protocol(service: Driver, upgrade: str) -> None:
    wire = await Wire.to(service)
    body = lines()
    first = f"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode()
    await wire.say(first + f"{ASK}Content-Length: {len(body)}\r\n\r\n".encode())
    assert (await wire.hear())[0] == 200
    with suppress(ConnectionError):
        await wire.say(body)
    assert await wire.rest() == b""


async def test_whoever_leaves_in_the_middle_of_a_body_disturbs_nobody(
    service: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        wire = await Wire.to(service)
        await wire.say(f"{ASK}Content-Length: 4000\r\n\r\nabc".encode())
        await asyncio.sleep(0.005)
        wire.close()
    await asyncio.sleep(0.05)
    assert (await service.call("GET", "/livez")).status == 200
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_what_comes_while_the_service_ends_is_answered(service: Driver) -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(make_app(service.house).serve)
    await other.start(sockets)
    idle, slow = [Wire(*await asyncio.open_connection(*sockets[0].getsockname())) for _ in range(2)]
    await slow.say(f"{ASK}Content-Length: {len(QUESTION)}\r\n\r\n".encode())
    await asyncio.sleep(0.1)
    other.stop()
    await idle.say(lines())
    assert (await idle.hear())[0] == 200
    await slow.say(QUESTION)
    assert (await slow.hear())[0] == 401
    await other.close(5)
    assert await idle.ended()


async def test_a_body_that_never_comes_does_not_hold_up_the_end(
    service: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(make_app(service.house).serve)
    await other.start(sockets)
    wire = Wire(*await asyncio.open_connection(*sockets[0].getsockname()))
    await wire.say(f"{ASK}Content-Length: 4000\r\n\r\nabc".encode())
    await asyncio.sleep(0.1)
    other.stop()
    await other.close(0.1)
    assert (await wire.hear())[0] == 503
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def _stand_still() -> None:
    time.sleep(0.2)


async def test_what_was_given_up_is_not_carried_out(service: Driver) -> None:
    """It lay in the socket while the process stood still, and whoever sent it has told somebody that it failed."""
    boss = await service.open("boss")
    body = b'{"name":"LATE","permissions":["execute:training"],"scopes":["project"]}'
    head = "POST /api/v1/roles HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    whole = f"{head}Authorization: {boss.auth}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    before = service.revision()
    with socket.create_connection(("127.0.0.1", service.server.port)) as given_up:
        given_up.sendall(whole)
    _stand_still()
    await asyncio.sleep(0.5)
    assert service.revision() == before
    wire = await Wire.to(service)
    await wire.say(whole)
    assert (await wire.hear())[0] == 201
    wire.close()


@pytest.mark.proves("R126")
async def test_a_body_is_not_waited_for_without_end(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "BODY_SECONDS", 0.2)
    wire = await Wire.to(service)
    await wire.say(f"{ASK}Content-Length: 4000\r\n\r\nabc".encode())
    status, body = await wire.hear()
    assert (status, json.loads(body)["type"]) == (408, "urn:aizen:problem:request-timeout")
    assert await wire.ended()


@pytest.mark.proves("R126")
@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nHo", lines()])
async def test_a_connection_that_says_nothing_more_ends(
    service: Driver, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(listener, "IDLE_SECONDS", 0.3)
    sockets = bind_sockets(0, "127.0.0.1")
    other = listener.Listener(make_app(service.house).serve)
    await other.start(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    writer.write(said)
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    other.stop()
    await other.close(1)


async def test_whoever_asks_first_is_told_to_go_on(service: Driver) -> None:
    eve = await service.open("eve")
    wire = await Wire.to(service)
    fields = f"Authorization: {eve.auth}\r\nContent-Length: {len(QUESTION)}\r\nExpect: 100-continue\r\n\r\n"
    await wire.say((ASK + fields).encode())
    assert (await wire.head())[0] == 100
    await wire.say(QUESTION)
    assert (await wire.hear())[0] == 200
    wire.close()


@pytest.mark.proves("R126", "T-51")
async def test_what_is_packed_is_not_unpacked(service: Driver) -> None:
    eve = await service.open("eve")
    bomb = gzip.compress(bytes(50 << 20))
    assert len(bomb) < 60_000
    answer = await service.call(
        "POST", "/api/v1/decisions", raw=bomb, auth=eve.auth, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 415


@pytest.mark.proves("R126", "R127")
async def test_little_may_be_sent_ahead_of_an_answer(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = await service.open("eve")
    decide = service.house.court.decide

    async def slow(question: Any) -> Any:
        await asyncio.sleep(2)
        return await decide(question)

    monkeypatch.setattr(service.house.court, "decide", slow)
    wire = await Wire.to(service)
    fields = f"Authorization: {eve.auth}\r\nContent-Length: {len(QUESTION)}\r\n\r\n"
    await wire.say((ASK + fields).encode() + QUESTION)
    await asyncio.sleep(0.1)
    with suppress(ConnectionError):
        for _ in range(30):
            await wire.say(lines(f"A: {'a' * 8000}"))
            await asyncio.sleep(0.01)
    assert await wire.ended()


@pytest.mark.proves("R126", "R127")
async def test_who_does_not_read_is_not_waited_for(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what they send meanwhile is kept in a small room."""
    monkeypatch.setattr(handler, "READER_SECONDS", 0.5)
    wire = await Wire.to(service, limit=1_024)
    ask = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(20):
            while True:
                await wire.say(ask * 30)
    assert not wire.open


@pytest.mark.proves("R49")
async def test_requests_that_follow_each_other_are_each_their_own(service: Driver) -> None:
    """In one packet, and cut anywhere: nobody is answered as the one before."""
    eve, paul = await service.open("eve"), await service.open("boss")
    whole = b"".join(_signed(one.auth) for one in (eve, paul, eve, paul)) + _signed("Bearer a.b.c")
    expected = [b'"eve"', b'"boss"', b'"eve"', b'"boss"', b"urn:aizen:problem:not-authenticated"]
    for cut in (len(whole), 7, len(whole) // 2, len(_signed(eve.auth)) + 3):
        wire = await Wire.to(service)
        await wire.say(whole[:cut])
        await asyncio.sleep(0.02)
        await wire.say(whole[cut:])
        for one in expected:
            assert one in (await wire.hear())[1]
        wire.close()


def _signed(auth: str) -> bytes:
    return f"{GET_ME}Authorization: {auth}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status", "stays"),
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
async def test_other_ways_to_ask(service: Driver, sent: bytes, status: int, stays: bool) -> None:
    """An address is what was sent, compared as it is: nothing in it is decoded or resolved before it is found."""
    wire = await Wire.to(service)
    await wire.say(sent)
    assert (await wire.hear())[0] == status
    if stays:
        await wire.say(lines())
        assert (await wire.hear())[0] == 200
        wire.close()
    else:
        assert await wire.ended()


async def test_the_head_alone_comes_without_a_body(service: Driver) -> None:
    wire = await Wire.to(service)
    await wire.say(b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    status, head = await wire.head()
    assert (status, "Allow: GET" in head) == (405, True)
    await wire.say(lines())
    assert (await wire.hear())[0] == 200
    wire.close()


async def test_no_answer_holds_a_line_that_somebody_made(service: Driver) -> None:
    """Names in addresses, and whatever else comes back in a header, cannot begin a header of their own."""
    for path in _crooked():
        wire = await Wire.to(service)
        await wire.say(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        _, head = await wire.head()
        assert "canary" not in head.lower()
        wire.close()


def _crooked() -> Iterable[bytes]:
    for address in (b"/", b"/api/v1/projects/", b"/services/aizen/", b"/services/aizen/projects/"):
        yield address + b"a%0d%0aCanary:%20b"
        yield address + b"?next=%0d%0aCanary:%20b"


async def test_a_header_in_two_lines_is_one_header(service: Driver) -> None:
    """A dry run that is asked for in the second line is one; a condition cannot be taken back by another."""
    boss = await service.open("boss")
    role = {"name": "ODD", "permissions": ["execute:training"], "scopes": ["project"]}
    assert (await service.call("POST", "/api/v1/roles", role, auth=boss.auth)).status == 201

    async def asked(line: str, body: bytes, *fields: str) -> int:
        wire = await Wire.to(service)
        head = [line, "Host: a", f"Authorization: {boss.auth}", "Content-Type: application/json", *fields]
        await wire.say("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        status, _ = await wire.hear()
        wire.close()
        return status

    change = "PATCH /api/v1/roles/ODD HTTP/1.1"
    assert await asked(change, b'{"description":"x"}', 'If-Match: "999"') == 412
    for first in ("If-Match:", "If-Match: *"):
        assert await asked(change, b'{"description":"x"}', first, 'If-Match: "999"') == 400
    before = service.revision()
    assert await asked(change, b'{"description":"y"}', "Prefer: respond-async", "Prefer: dry-run") == 200
    assert service.revision() == before
