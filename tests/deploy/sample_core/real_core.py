"""A real sample core process, and an issuer with a real key ring whose public keys it reads over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.settings import CoreSettings
from aizen_hub.tokens.decision_token import issue_decision_token
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey

ROOT = Path(__file__).parents[3]
CORE = ROOT / "deploy/sample-core/core.py"
CREDENTIAL = "core-credential-for-this-test"


@dataclass
class Issuer:
    """The service as the core sees it: its keys, and the endpoint for reports."""

    address: str
    ring: KeyRing
    reports: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)
    fetched: int = 0
    report_status: int = 204

    def new_keys(self) -> None:
        now = datetime.now(UTC)
        self.ring = KeyRing([SigningKey.generate(purpose, now) for purpose in (Purpose.ROLE, Purpose.DECISION)])


class _Keys(RequestHandler):
    def get(self) -> None:
        issuer: Issuer = self.settings["issuer"]
        issuer.fetched += 1
        self.write(issuer.ring.jwks(datetime.now(UTC)))


class _Events(RequestHandler):
    def post(self, id: str) -> None:
        issuer: Issuer = self.settings["issuer"]
        self.set_status(issuer.report_status)
        if issuer.report_status < 300:
            issuer.reports.append((id, self.request.headers.get("Authorization"), json.loads(self.request.body)))


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """Serve from a thread of its own, so that one issuer and one core can outlive the event loop of a test."""
    issuer = Issuer("", KeyRing())
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        issuer.address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        routes = [(r"/.well-known/jwks.json", _Keys), (r"/api/v1/jobs/(.*)/events", _Events)]
        server = HTTPServer(Application(routes, issuer=issuer))
        server.add_sockets(sockets)
        loops.append(asyncio.get_running_loop())
        ready.set()
        await over.wait()
        server.stop()
        await server.close_all_connections()

    issuer.new_keys()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield issuer
    loops[0].call_soon_threadsafe(over.set)
    thread.join(10)


@dataclass
class Core:
    """One core process."""

    process: subprocess.Popen[str]
    address: str
    issuer: Issuer
    data: Path

    def sign(self, command: CoreCommand, body: bytes, **changes: Any) -> str:
        claims = {
            "subject": command.user,
            "project": command.project,
            "decision_id": command.id,
            "now": datetime.now(UTC),
        }
        return issue_decision_token(
            self.issuer.ring, self.issuer.address, self.address, body=body, **(claims | changes)
        )

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
    core = start_core(issuer, tmp_path_factory.mktemp("core"))
    yield core
    core.stop()


@pytest.fixture
def core(shared_core: Core) -> Iterator[Core]:
    """A core that several tests share, each with its own project; jobs left running are stopped after the test."""
    _tests.append("")
    shared_core.issuer.reports.clear()
    shared_core.issuer.report_status = 204
    yield shared_core
    for pid in children(shared_core.process.pid):
        os.kill(pid, signal.SIGTERM)


@pytest.fixture
def own_core(issuer: Issuer, tmp_path: Path) -> Iterator[Core]:
    """A core that a test may kill."""
    _tests.append("")
    core = start_core(issuer, tmp_path / "core")
    yield core
    core.stop()


_tests: list[str] = []
_commands: list[str] = []


def own_project() -> str:
    """Return the name of a project that only the present test uses."""
    return f"project-{len(_tests)}"


def make_command(text: str, *, user: str = "alice", project: str | None = None, **more: Any) -> CoreCommand:
    """Build a command as the service would: verb, noun, name and key=value words."""
    _commands.append(text)
    verb, noun, *rest = text.split()
    arguments = {"name": rest[0]} if rest else {}
    arguments |= dict(word.split("=", 1) for word in rest[1:])
    id = f"{os.getpid():08x}{len(_commands):024x}"
    return CoreCommand(id, text, verb, noun, arguments, user, project or own_project(), **more)


def children(pid: int) -> set[int]:
    """Return the running processes whose parent is ``pid``."""
    pids = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            pids.add(int(stat.parent.name))
    return pids


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def execute(core: Core, command: CoreCommand) -> list[dict[str, Any]]:
    """Execute a command to its end and return all events."""
    async with core.client.connect(command) as request:
        await request.send()
        return [event.to_json() async for event in request.events()]
