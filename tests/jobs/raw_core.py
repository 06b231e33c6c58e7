"""A core that sends exactly the bytes of a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.settings import CoreSettings

Responder = Callable[["RawCore", str, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
ORDER = CoreCommand(
    "0" * 32, "start training churn", "start", "training", {"name": "churn"}, "alice", "p1", job="starts"
)


@dataclass
class RawCore:
    """The requests it received, in order, and its address."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def client(self, *, idle: float = 2.0, connect: float = 1.0) -> CoreClient:
        settings = CoreSettings(url=self.url, connect_seconds=connect, idle_seconds=idle)
        return CoreClient(settings, lambda command, body: "token")


def line(event: str, **members: object) -> bytes:
    return json.dumps({"event": event, **members}).encode() + b"\n"


ACCEPTED = line("accepted")
DONE = line("end", state="done", result=None)


@asynccontextmanager
async def raw_core(respond: Responder) -> AsyncIterator[RawCore]:
    """Serve ``respond`` on every connection; it gets ``METHOD path`` and a writer."""
    core = RawCore()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            request_line, *fields = head.decode().split("\r\n")
            length = sum(int(field.split(":")[1]) for field in fields if field.lower().startswith("content-length"))
            core.bodies.append(await reader.readexactly(length))
            request = request_line.rpartition(" ")[0]
            core.requests.append(request)
            core.calls.append(request.partition(" ")[0])
            await respond(core, request, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    core.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield core
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(*parts: bytes | float, then_wait: bool = False) -> Responder:
    """Send the parts, pausing at numbers, and close."""

    async def respond(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        if then_wait:
            await asyncio.sleep(60)

    return respond
