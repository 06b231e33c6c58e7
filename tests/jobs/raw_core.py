"""A core that says exactly what a test wants, byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.settings import CoreSettings

Talk = Callable[["RawCore", str, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
ORDER = Order("0" * 32, "start training churn", "start", "training", {"name": "churn"}, "alice", "p1", job="starts")


@dataclass
class RawCore:
    """What it was sent, in order, and where it listens."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)

    def client(self, *, idle: float = 2.0, connect: float = 1.0) -> CoreClient:
        settings = CoreSettings(url=self.url, connect_seconds=connect, idle_seconds=idle)
        return CoreClient(settings, lambda order, body: "token")


def line(event: str, **members: object) -> bytes:
    return json.dumps({"event": event, **members}).encode() + b"\n"


ACCEPTED = line("accepted")
DONE = line("end", state="done", result=None)


@asynccontextmanager
async def raw_core(talk: Talk) -> AsyncIterator[RawCore]:
    """Serve ``talk`` to every connection; it gets ``METHOD path`` and a writer."""
    core = RawCore()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *fields = head.decode().split("\r\n")
            length = next(int(one.split(":")[1]) for one in fields if one.lower().startswith("content-length"))
            core.bodies.append(await reader.readexactly(length))
            request = first.rpartition(" ")[0]
            core.requests.append(request)
            core.happened.append(request.partition(" ")[0])
            await talk(core, request, writer)
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


def says(*parts: bytes | float, then_wait: bool = False) -> Talk:
    """Send the parts, pausing at numbers, and close."""

    async def talk(core: RawCore, request: str, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        if then_wait:
            await asyncio.sleep(60)

    return talk
