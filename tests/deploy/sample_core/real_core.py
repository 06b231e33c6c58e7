"""A real sample core process, and a real key ring whose public half it reads over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.order import Order
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


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    sockets = bind_sockets(0, "127.0.0.1")
    address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    now = datetime.now(UTC)
    found = Issuer(address, KeyRing([SigningKey.new(purpose, now) for purpose in (Purpose.ROLE, Purpose.DECISION)]))
    routes = [(r"/.well-known/jwks.json", _Keys), (r"/api/v1/jobs/(.*)/events", _Events)]
    server = HTTPServer(Application(routes, issuer=found))
    server.add_sockets(sockets)
    yield found
    server.stop()
    await server.close_all_connections()


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
        code = self.process.wait(timeout=20)
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


@pytest.fixture
def core(issuer: Issuer, tmp_path: Path) -> Iterator[Core]:
    found = start_core(issuer, tmp_path / "core")
    try:
        yield found
    finally:
        found.stop()


_count = 0


def order(text: str, *, user: str = "alice", project: str | None = "churn-study", **more: Any) -> Order:
    """Build an order as the service would: verb, noun, name and key=value words."""
    global _count
    _count += 1
    verb, noun, *rest = text.split()
    arguments = {"name": rest[0]} if rest else {}
    arguments |= dict(word.split("=", 1) for word in rest[1:])
    return Order(f"{os.getpid():08x}{_count:024x}", text, verb, noun, arguments, user, project, **more)


async def carry_out(core: Core, what: Order) -> list[dict[str, Any]]:
    """Carry an order out to its end and return all events."""
    async with core.client.connect(what) as call:
        await call.begin()
        return [event.to_json() async for event in call.events()]
