"""The client of the core: whatever the core sends, the result is an event or CoreFailed, in time and bounded."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.jobs import core_stream
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import MAX_LINE_BYTES, CoreEvent, read_event
from aizen_hub.problems import CoreFailed
from aizen_hub.settings import CoreSettings
from aizen_hub.tokens.decision_token import issue_decision_token, verify_decision_token
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from tests.deploy.sample_core.real_core import Core, make_command
from tests.fixtures.timing import until, within
from tests.jobs.raw_core import ACCEPTED, DONE, HEAD, ORDER, RawCore, line, raw_core, says


async def run_command(client: CoreClient, command: CoreCommand = ORDER) -> list[CoreEvent]:
    async with client.connect(command) as request:
        await request.send()
        return [event async for event in request.events()]


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    tasks = [task for task in asyncio.all_tasks() if "aizen_hub" in repr(task.get_coro())]
    assert tasks == [], "a connection was left behind"


async def test_events_are_yielded_as_they_are_sent() -> None:
    progress = line("progress", fraction=0.25, message="a quarter")
    async with raw_core(says(HEAD, ACCEPTED, progress, b"\n", line("log", line="hello"), DONE)) as core:
        events = await run_command(core.client())
    assert [event.to_json() for event in events] == [
        {"event": "progress", "fraction": 0.25, "message": "a quarter"},
        {"event": "log", "line": "hello"},
        {"event": "end", "state": "done", "result": None, "message": ""},
    ]
    assert core.requests == ["POST /commands"]


@pytest.mark.proves("R83", "R91")
async def test_the_core_gets_the_parsed_command() -> None:
    what = CoreCommand(
        "1" * 32, "delete users a,b", "delete", "users", {"users": ("a", "b"), "x": "-rf /"}, "alice", None
    )
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        await run_command(core.client(), what)
    assert json.loads(core.bodies[0]) == {
        "id": "1" * 32, "command": "delete users a,b", "verb": "delete", "noun": "users",
        "arguments": {"users": ["a", "b"], "x": "-rf /"}, "user": "alice", "project": None,
    }  # fmt: skip


@pytest.mark.proves("R82", "T-55")
async def test_the_token_is_bound_to_the_bytes_that_are_sent() -> None:
    now = datetime.now(UTC)
    ring = KeyRing([SigningKey.generate(Purpose.DECISION, now)])
    tokens: list[str] = []

    def sign(command: CoreCommand, body: bytes) -> str:
        tokens.append(
            issue_decision_token(
                ring,
                "iss",
                "aud",
                subject=command.user,
                project=command.project,
                decision_id=command.id,
                body=body,
                now=now,
            )
        )
        return tokens[-1]

    async with raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        await run_command(CoreClient(CoreSettings(url=core.url), sign))
    claims = verify_decision_token(tokens[0], core.bodies[0], ring, "iss", "aud", now)
    assert claims.body_hash == hashlib.sha256(core.bodies[0]).hexdigest()
    assert claims.decision_id == ORDER.id


async def test_an_unreachable_core_is_reported_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        core = RawCore(f"http://127.0.0.1:{closed.getsockname()[1]}")
    for target in (core, RawCore("http://core.invalid:9")):
        # A core that is silent costs a minute.
        with within(20), pytest.raises(CoreFailed) as caught:
            await run_command(target.client(idle=60))
        assert caught.value.extensions["core"] == "down"


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"HTTP/1.1 200 OK\r\nA: ",) + (0.05, b"x") * 1200,
        (HEAD,),
        (HEAD, ACCEPTED),
        (HEAD, ACCEPTED, *((0.05, b"x") * 1200)),
    ],
    ids=["nothing", "dripping head", "only a head", "only accepted", "dripping line"],
)
async def test_a_slow_core_times_out(parts: tuple[bytes | float, ...]) -> None:
    async with raw_core(says(*parts, then_wait=True)) as core:
        # It drips, or stays connected, for a minute.
        with within(20), pytest.raises(CoreFailed) as caught:
            await run_command(core.client(idle=0.3))
        assert caught.value.extensions["core"] == "silent"


@pytest.mark.parametrize(
    "response",
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
async def test_an_invalid_response_is_reported(response: bytes) -> None:
    async with raw_core(says(response)) as core:
        with pytest.raises(CoreFailed) as caught:
            await run_command(core.client())
    assert caught.value.extensions["core"] in ("invalid-response", "lost")


@pytest.mark.parametrize("ended", [b"", b"\n"], ids=["without an end", "with an end"])
async def test_a_huge_line_is_refused_without_being_buffered(ended: bytes) -> None:
    async with raw_core(
        says(HEAD, ACCEPTED, b'{"event":"log","line":"' + b"x" * (3 * MAX_LINE_BYTES) + b'"}' + ended)
    ) as core:
        with pytest.raises(CoreFailed, match="line of more than"):
            await run_command(core.client())


async def test_backpressure_holds_a_flood_at_the_core() -> None:
    sent = 0

    async def flood(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD + ACCEPTED)
        piece = line("log", line="x" * 1000) * 64
        while sent < 40 << 20:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with raw_core(flood) as core, core.client(idle=60).connect(ORDER) as request:
        await request.send()
        events = request.events()
        await anext(events)
        for _ in range(100):
            before = sent
            await asyncio.sleep(0.2)
            if sent == before:
                break
        assert sent == before < 40 << 20, "the core had to stop sending"
        assert len(request._stream._buffer) < 1 << 20
        for _ in range(500):
            await anext(events)


@asynccontextmanager
async def silent_listener() -> AsyncIterator[tuple[RawCore, list[asyncio.StreamReader], list[asyncio.StreamWriter]]]:
    """Accept connections and neither read nor write."""
    readers: list[asyncio.StreamReader] = []
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        readers.append(reader)
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield RawCore(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), readers, writers
    finally:
        server.close()
        for writer in writers:
            writer.close()


@pytest.mark.proves("R81", "R82")
async def test_nothing_is_sent_before_the_last_decision() -> None:
    async with silent_listener() as (core, readers, _):
        async with core.client().connect(ORDER) as request:
            await until(lambda: readers)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(readers[0].read(1), 0.2)
            request.prepare()
        assert await asyncio.wait_for(readers[0].read(), 5) == b"", "the unused connection is closed"


async def test_a_core_that_hangs_up_before_the_command_is_sent_is_lost() -> None:
    async with silent_listener() as (core, readers, writers):
        async with core.client().connect(ORDER) as request:
            await until(lambda: writers)
            writers[0].close()
            await asyncio.sleep(0.1)
            with pytest.raises(CoreFailed) as caught:
                await request.send()
        assert caught.value.extensions["core"] == "lost"
        assert len(readers) == 1


async def test_a_lost_request_is_not_repeated() -> None:
    async with raw_core(says(b"")) as core:
        with pytest.raises(CoreFailed) as caught:
            await core.client().cancel(ORDER)
        assert core.requests == [f"DELETE /commands/{ORDER.id}"]
    assert caught.value.extensions["core"] == "lost"


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as proxy, raw_core(says(HEAD, ACCEPTED, DONE)) as core:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        await run_command(core.client())
        assert (len(core.requests), proxy.requests) == (1, [])


async def test_a_response_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_stream, "MAX_RESPONSE_BYTES", 100_000)
    async with raw_core(says(HEAD, ACCEPTED, line("log", line="x" * 1000) * 1000, DONE)) as core:
        with pytest.raises(CoreFailed) as caught:
            await run_command(core.client())
    assert caught.value.extensions["core"] == "lost"


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary Redirect", b"308 Permanent Redirect"])
async def test_a_redirect_is_never_followed(status: bytes) -> None:
    async with raw_core(says(HEAD, ACCEPTED, DONE)) as target:
        moved = (
            b"HTTP/1.1 " + status + b"\r\nLocation: " + target.url.encode() + b"/commands\r\nContent-Length: 0\r\n\r\n"
        )
        async with raw_core(says(moved)) as core:
            with pytest.raises(CoreFailed) as caught:
                await run_command(core.client())
    assert caught.value.extensions["core"] == "redirect"
    assert target.requests == []


async def test_a_refusal_of_the_core_is_reported_with_its_reason() -> None:
    body = json.dumps({"detail": "too \x1b[31mold " + "x" * 5000}).encode()
    head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with raw_core(says(head, body)) as core:
        with pytest.raises(CoreFailed, match="status 401: `too") as caught:
            await run_command(core.client())
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 400


async def test_a_command_that_the_core_does_not_know() -> None:
    async with raw_core(says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as core:
        with pytest.raises(CoreFailed) as caught:
            async for _ in core.client().reattach(ORDER):
                pass
        with pytest.raises(CoreFailed):
            await core.client().cancel(ORDER)
    assert caught.value.extensions["core"] == "unknown-command"
    assert core.requests == [f"GET /commands/{ORDER.id}", f"DELETE /commands/{ORDER.id}"]


async def test_interim_responses_are_skipped() -> None:
    async with raw_core(says(b"HTTP/1.1 100 Continue\r\n\r\n", HEAD, ACCEPTED, DONE)) as core:
        assert (await run_command(core.client()))[-1].event == "end"


@pytest.mark.parametrize("url", ["ftp://core", "http://", "core:80", "file:///etc/passwd"])
async def test_only_http_addresses_are_accepted(url: str) -> None:
    with pytest.raises(CoreFailed):
        await run_command(RawCore(url).client())


VALUES = st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists, max_leaves=4)
MEMBERS = st.dictionaries(st.sampled_from(["event", "state", "fraction", "message", "line", "result"]), VALUES)


@given(st.binary(max_size=200) | MEMBERS.map(lambda value: json.dumps({"event": "end", **value}).encode()))
def test_any_line_is_an_event_or_a_failure(data: bytes) -> None:
    try:
        event = read_event(data)
    except CoreFailed:
        return
    json.dumps(event.to_json(), allow_nan=False)


async def test_a_command_of_a_real_core_is_started_left_reattached_and_cancelled(core: Core) -> None:
    command = make_command("start training slow")
    async with core.client.connect(command) as request:
        await request.send()
    events = core.client.reattach(command)
    first = await anext(events)
    assert first.event == "progress"
    await core.client.cancel(command)
    *_, last = [event async for event in events]
    assert last.state == "stopped"
