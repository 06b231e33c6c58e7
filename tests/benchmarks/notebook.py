"""The time from Shift-Enter to a refusal on the screen: a real kernel, a real service, no hub in between."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.manager import start_new_kernel

from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from tests.benchmarks.figure import Figure
from tests.fixtures.databases.sqlite import create_database_file
from tests.fixtures.network.ports import free_port
from tests.service.conftest import INSTANCE, Driver, Session, populate, settings_for

ROUNDS = 200
_REFUSED = "start training churn"


def measure(folder: Path, *, rounds: int = ROUNDS) -> Iterator[Figure]:
    """Yield the median of the times in which a refused command is shown, and the plain cost of a cell beside it."""
    with _service(folder) as (url, session):
        environment = {"AIZEN_URL": url, "AIZEN_TOKEN": session.token, "JUPYTERHUB_API_TOKEN": session.hub_token}
        with _kernel(environment | {"IPYTHONDIR": str(folder / "ipython")}) as client:
            _run(client, "%load_ext aizen_hub.notebook")
            _run(client, "%aizen help start")
            assert "application/vnd.aizen.refusal+json" in _run(client, _REFUSED)[1], "the command is refused"
            plain = statistics.median(_run(client, "1 + 1")[0] for _ in range(rounds))
            refused = sorted(_run(client, _REFUSED)[0] for _ in range(rounds))
    yield Figure("cell `1 + 1`, until its output", plain * 1000, "ms")
    yield Figure(
        "refused command in a cell, until it is shown, median", refused[rounds // 2] * 1000, "ms", "at most 60"
    )
    yield Figure("the same, p95", refused[rounds * 95 // 100] * 1000, "ms")


@contextmanager
def _service(folder: Path) -> Iterator[tuple[str, Session]]:
    """Run a service in a thread of its own, with the users of the tests; yields its address and a reader's session."""
    ready, stop, started = threading.Event(), asyncio.Event(), []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        create_database_file(folder / "data")
        port = free_port()
        context = build_context(settings_for(folder, service={"port": port}), instance=INSTANCE, environ={})
        server = Server(context, "127.0.0.1", port)
        await server.start()
        driver = Driver(server)
        populate(context)
        started.append((driver.url, await driver.open("rob")))
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        driver.close()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield started[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(60)


@contextmanager
def _kernel(environment: dict[str, str]) -> Iterator[object]:
    import os

    manager, client = start_new_kernel(kernel_name="python3", env={**os.environ, **environment})
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _run(client: object, code: str) -> tuple[float, dict[str, object]]:
    """Run a cell; returns the seconds until its first output, and that output."""
    start = time.perf_counter()
    message_id = client.execute(code)  # type: ignore[attr-defined]
    shown: tuple[float, dict[str, object]] | None = None
    while True:
        message = client.get_iopub_msg(timeout=60)  # type: ignore[attr-defined]
        if message["parent_header"].get("msg_id") != message_id:
            continue
        if message["msg_type"] in ("execute_result", "display_data") and shown is None:
            shown = time.perf_counter() - start, message["content"]["data"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return shown or (time.perf_counter() - start, {})
