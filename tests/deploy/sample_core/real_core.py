"""A real sample core process, and a real key ring whose public half it reads over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.settings import CoreSettings
from aizen_hub.tokens.decision_token import issue_decision
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey

ROOT = Path(__file__).parents[3]
CORE = ROOT / "deploy/sample-core/core.py"
CREDENTIAL = "core-credential-for-this-test"


@dataclass
class Issuer:
    """The service as the core sees it: its keys, and where ends are reported."""

    address: str
    ring: KeyRing
    reports: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    fetched: int = 0
    heard: int = 204

    def new_keys(self) -> None:
        now = datetime.now(UTC)
        self.ring = KeyRing([SigningKey.new(purpose, now) for purpose in (Purpose.ROLE, Purpose.DECISION)])


class _Keys(RequestHandler):
    def get(self) -> None:
        issuer: Issuer = self.settings["issuer"]
        issuer.fetched += 1
        self.write(issuer.ring.jwks(datetime.now(UTC)))


class _Events(RequestHandler):
    def post(self, id: str) -> None:
        issuer: Issuer = self.settings["issuer"]
        self.set_status(issuer.heard)
        if issuer.heard < 300:
            issuer.reports.append((id, self.request.headers.get("Authorization"), json.loads(self.request.body)))


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """Serve from a thread of its own, so that one issuer and one core can outlive the event loop of a test."""
    found = Issuer("", KeyRing())
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        found.address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        routes = [(r"/.well-known/jwks.json", _Keys), (r"/api/v1/jobs/(.*)/events", _Events)]
        server = HTTPServer(Application(routes, issuer=found))
        server.add_sockets(sockets)
        loops.append(asyncio.get_running_loop())
        ready.set()
        await over.wait()
        server.stop()
        await server.close_all_connections()

    found.new_keys()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield found
    loops[0].call_soon_threadsafe(over.set)
    thread.join(10)


@dataclass
class Core:
    """One core process."""

    process: subprocess.Popen[str]
    address: str
    issuer: Issuer
    data: Path

    def sign(self, order: Order, body: bytes, **changes: Any) -> str:
        claims = {"subject": order.user, "project": order.project, "decision": order.id, "now": datetime.now(UTC)}
        return issue_decision(self.issuer.ring, self.issuer.address, self.address, body=body, **(claims | changes))

    @property
    def client(self) -> CoreClient:
        return CoreClient(CoreSettings(url=self.address, idle_seconds=20), self.sign)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=20)
            raise
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def start_core(issuer: Issuer, data: Path) -> Core:
    data.mkdir(exist_ok=True)
    credential = data / "credential"
    credential.write_text(CREDENTIAL + "\n")
    command = [sys.executable, str(CORE), "--port", "0", "--issuer", issuer.address, "--data", str(data)]
    process = subprocess.Popen(
        [*command, "--credential-file", str(credential)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    return Core(process, json.loads(process.stdout.readline())["address"], issuer, data)


@pytest.fixture(scope="module")
def shared_core(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    found = start_core(issuer, tmp_path_factory.mktemp("core"))
    yield found
    found.stop()


@pytest.fixture
def core(shared_core: Core) -> Iterator[Core]:
    """A core that several tests share, each with a project of its own; what a test leaves running is ended after it."""
    _tests.append("")
    shared_core.issuer.reports.clear()
    shared_core.issuer.heard = 204
    yield shared_core
    for pid in children(shared_core.process.pid):
        os.kill(pid, signal.SIGTERM)


@pytest.fixture
def own_core(issuer: Issuer, tmp_path: Path) -> Iterator[Core]:
    """A core that a test may kill."""
    _tests.append("")
    found = start_core(issuer, tmp_path / "core")
    yield found
    found.stop()


_tests: list[str] = []
_orders: list[str] = []


def own_project() -> str:
    """Return the name of a project that only the present test uses."""
    return f"project-{len(_tests)}"


def order(text: str, *, user: str = "alice", project: str | None = None, **more: Any) -> Order:
    """Build an order as the service would: verb, noun, name and key=value words."""
    _orders.append(text)
    verb, noun, *rest = text.split()
    arguments = {"name": rest[0]} if rest else {}
    arguments |= dict(word.split("=", 1) for word in rest[1:])
    id = f"{os.getpid():08x}{len(_orders):024x}"
    return Order(id, text, verb, noun, arguments, user, project or own_project(), **more)


def children(pid: int) -> set[int]:
    """Return the living processes whose parent is ``pid``."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        await asyncio.sleep(0.02)


async def carry_out(core: Core, what: Order) -> list[dict[str, Any]]:
    """Carry an order out to its end and return all events."""
    async with core.client.connect(what) as call:
        await call.begin()
        return [event.to_json() async for event in call.events()]
