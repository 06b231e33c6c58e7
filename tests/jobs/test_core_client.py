"""The client of the core: whatever a core does, the answer is an event or a CoreFailed, in time and in bounds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import MAX_LINE, CoreEvent, read_event
from aizen_hub.problems import CoreFailed
from aizen_hub.settings import CoreSettings
from aizen_hub.tokens.decision_token import issue_decision, verify_decision
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from tests.deploy.sample_core.real_core import Core, order
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, ORDER, RawCore, line, raw_core, says


async def carry_out(client: CoreClient, what: Order = ORDER) -> list[CoreEvent]:
    async with client.connect(what) as call:
        await call.begin()
        return [event async for event in call.events()]


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    ours = [task for task in asyncio.all_tasks() if "aizen_hub" in repr(task.get_coro())]
    assert ours == [], "a connection was left behind"


async def test_events_come_as_they_are_said() -> None:
    progress = line("progress", fraction=0.25, message="a quarter")
    async with raw_core(says(HEAD, ACCEPTED, progress, b"\n", line("log", line="hello"), DONE)) as core:
        events = await carry_out(core.client())
    assert [event.to_json() for event in events] == [
        {"event": "progress", "fraction": 0.25, "message": "a quarter"},
        {"event": "log", "line": "hello"},
        {"event": "end", "state": "done", "result": None, "message": ""},
    ]
    assert core.requests == ["POST /commands"]


@pytest.mark.proves("R83", "R91")
async def test_the_core_gets_the_parsed_command() -> None:
    what = Order("1" * 32, "delete users a,b", "delete", "users", {"users": ("a", "b"), "x": "-rf /"}, "alice", None)
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        await carry_out(core.client(), what)
    assert json.loads(core.bodies[0]) == {
        "id": "1" * 32, "command": "delete users a,b", "verb": "delete", "noun": "users",
        "arguments": {"users": ["a", "b"], "x": "-rf /"}, "user": "alice", "project": None,
    }  # fmt: skip


@pytest.mark.proves("R82", "T-55")
async def test_the_token_is_bound_to_the_bytes_that_are_sent() -> None:
    now = datetime.now(UTC)
    ring = KeyRing([SigningKey.new(Purpose.DECISION, now)])
    tokens: list[str] = []

    def sign(what: Order, body: bytes) -> str:
        tokens.append(
            issue_decision(
                ring, "iss", "aud", subject=what.user, project=what.project, decision=what.id, body=body, now=now
            )
        )
        return tokens[-1]

    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        await carry_out(CoreClient(CoreSettings(url=core.url), sign))
    found = verify_decision(tokens[0], core.bodies[0], ring, "iss", "aud", now)
    assert found.body_hash == hashlib.sha256(core.bodies[0]).hexdigest()
    assert found.decision == ORDER.id


async def test_a_core_that_is_down_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        core = RawCore(f"http://127.0.0.1:{closed.getsockname()[1]}")
    for one in (core, RawCore("http://core.invalid:9")):
        began = time.monotonic()
        with pytest.raises(CoreFailed) as caught:
            await carry_out(one.client())
        assert caught.value.more["core"] == "down"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"H",) + (0.05, b"T") * 40,
        (HEAD,),
        (HEAD, ACCEPTED),
        (HEAD, ACCEPTED, *((0.05, b"x") * 40)),
    ],
    ids=["nothing", "dripping head", "only a head", "only accepted", "dripping line"],
)
async def test_a_slow_core_is_given_up(parts: tuple[bytes | float, ...]) -> None:
    async with raw_core(says(*parts, then_wait=True)) as core:
        began = time.monotonic()
        with pytest.raises(CoreFailed) as caught:
            await carry_out(core.client(idle=0.3))
        assert caught.value.more["core"] == "silent"
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\xff" * 50 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
        HEAD + b"<html>\n",
        HEAD + b"[]\n",
        HEAD + b'{"event":"nonsense"}\n',
        HEAD + b'{"event":["end"]}\n',
        HEAD + DONE,
        HEAD + ACCEPTED + b'{"event":"end","state":"fine"}\n',
        HEAD + ACCEPTED + b'{"event":"end","state":"unknown"}\n',
        HEAD + ACCEPTED + b'{"event":"end","state":"done","result":[1]}\n',
        HEAD + ACCEPTED + b'{"event":"progress","fraction":NaN}\n',
        HEAD + ACCEPTED + b'{"event":"progress","fraction":7}\n',
        HEAD + ACCEPTED + b'{"event":"progress","fraction":true}\n',
        HEAD + ACCEPTED + b'{"event":"log","line":7}\n',
        HEAD + ACCEPTED + b'{"event":"end","state":"done","state":"failed"}\n',
        HEAD + ACCEPTED + b'{"event":"log","line":"' + b"[" * 100_000 + b"\n",
        HEAD + ACCEPTED + b"\xff\xfe\n",
        HEAD,
        HEAD + ACCEPTED,
        HEAD + ACCEPTED + line("progress", fraction=0.5),
    ],
)  # fmt: skip
async def test_rubbish_is_told(said: bytes) -> None:
    async with raw_core(says(said)) as core:
        with pytest.raises(CoreFailed) as caught:
            await carry_out(core.client())
    assert caught.value.more["core"] in ("rubbish", "lost")


@pytest.mark.parametrize("ended", [b"", b"\n"], ids=["without an end", "with an end"])
async def test_a_huge_line_is_refused_without_being_kept(ended: bytes) -> None:
    async with raw_core(
        says(HEAD, ACCEPTED, b'{"event":"log","line":"' + b"x" * (3 * MAX_LINE) + b'"}' + ended)
    ) as core:
        with pytest.raises(CoreFailed, match="line of more than"):
            await carry_out(core.client())


async def test_a_flood_waits_at_the_core_and_not_here() -> None:
    sent = 0

    async def flood(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD + ACCEPTED)
        piece = line("log", line="x" * 1000) * 64
        while sent < 40 << 20:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with raw_core(flood) as core, core.client(idle=5).connect(ORDER) as call:
        await call.begin()
        events = call.events()
        await anext(events)
        await asyncio.sleep(0.5)
        held = sum(map(len, call._stream._answer.lines))
        assert held < 1 << 20
        before = sent
        await asyncio.sleep(0.2)
        assert sent == before, "the core had to stop sending"
        for _ in range(500):
            await anext(events)


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary Redirect", b"308 Permanent Redirect"])
async def test_a_redirect_is_never_followed(status: bytes) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as target:
        moved = (
            b"HTTP/1.1 " + status + b"\r\nLocation: " + target.url.encode() + b"/commands\r\nContent-Length: 0\r\n\r\n"
        )
        async with raw_core(says(moved)) as core:
            with pytest.raises(CoreFailed) as caught:
                await carry_out(core.client())
    assert caught.value.more["core"] == "redirect"
    assert target.requests == []


async def test_a_refusal_of_the_core_is_told_with_its_reason() -> None:
    body = json.dumps({"detail": "too \x1b[31mold " + "x" * 5000}).encode()
    head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with raw_core(says(head, body)) as core:
        with pytest.raises(CoreFailed, match="status 401: `too") as caught:
            await carry_out(core.client())
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 400


async def test_a_command_it_has_forgotten() -> None:
    async with raw_core(says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as core:
        with pytest.raises(CoreFailed) as caught:
            async for _ in core.client().reattach(ORDER):
                pass
        with pytest.raises(CoreFailed):
            await core.client().cancel(ORDER)
    assert caught.value.more["core"] == "forgotten"
    assert core.requests == [f"GET /commands/{ORDER.id}", f"DELETE /commands/{ORDER.id}"]


async def test_interim_answers_are_passed_over() -> None:
    async with raw_core(says(b"HTTP/1.1 100 Continue\r\n\r\n", HEAD, ACCEPTED, DONE)) as core:
        assert (await carry_out(core.client()))[-1].event == "end"


@pytest.mark.parametrize("url", ["ftp://core", "http://", "core:80", "file:///etc/passwd"])
async def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(CoreFailed):
        await carry_out(RawCore(url).client())


VALUES = st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists, max_leaves=4)
MEMBERS = st.dictionaries(st.sampled_from(["event", "state", "fraction", "message", "line", "result"]), VALUES)


@given(st.binary(max_size=200) | MEMBERS.map(lambda value: json.dumps({"event": "end", **value}).encode()))
def test_any_line_is_an_event_or_a_failure(data: bytes) -> None:
    try:
        event = read_event(data)
    except CoreFailed:
        return
    json.dumps(event.to_json(), allow_nan=False)


async def test_a_real_core_is_started_left_found_again_and_cancelled(core: Core) -> None:
    what = order("start training slow")
    async with core.client.connect(what) as call:
        await call.begin()
    again = core.client.reattach(what)
    first = await anext(again)
    assert first.event == "progress"
    await core.client.cancel(what)
    *_, last = [event async for event in again]
    assert last.state == "stopped"
