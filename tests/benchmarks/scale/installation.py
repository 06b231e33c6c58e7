"""Replicas on one PostgreSQL server with many sessions, each with a hub token of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.secret_files import read_or_create_secret
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.settings import Settings
from aizen_hub.store import migrate
from aizen_hub.store.sql_store import Store
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.benchmarks import install, servers
from tests.benchmarks.install import Size
from tests.benchmarks.scale.usage import Meter
from tests.benchmarks.servers import Running
from tests.fixtures.databases.postgres import fresh_database, running_server
from tests.fixtures.network.ports import free_port
from tests.service.panel.window import FakeHub

ROLE = "PROJECT_EXECUTOR"
ADMIN = "keeper"
PASSWORD = "quite long, 7 words of it, unguessed"
PROVIDERS = [{"name": "local", "kind": "local"}, {"name": "lab", "kind": "ldap"}]
REPLICAS = 2
_USERS_PER_PROJECT = 10


@dataclass(frozen=True)
class ScaleInstallation:
    """What runs.

    Attributes
    ----------
    size : Size
        The users and projects; the first `sessions` users have a session each, the others sign in and start servers.
    """

    folder: Path
    replicas: list[Running]
    hub_secret: str
    hub: FakeHub
    meter: Meter
    size: Size
    sessions: int

    @property
    def ports(self) -> list[int]:
        return [replica.port for replica in self.replicas]

    def project(self, user: int) -> str:
        """Return a project in which this user may start trainings."""
        return next(project for project, role in self.size.held(user) if role == ROLE)


def hub_token(user: int) -> str:
    """Return the hub token of the server of a user, as it was planted."""
    return hashlib.sha256(f"hub token of u{user}".encode()).hexdigest()[:32]


@contextmanager
def running_installation(
    folder: Path, sessions: int, more_users: int, deadline_seconds: float
) -> Iterator[ScaleInstallation]:
    """Start PostgreSQL with all its safety, and the replicas; all of them end with the block."""
    import psycopg

    users = sessions + more_users
    size = Size(users, max(install.ASSIGNMENTS_PER_USER, users // _USERS_PER_PROJECT))
    with ExitStack() as stack:
        server = stack.enter_context(running_server())
        url = stack.enter_context(fresh_database(server))
        configurations = [_write_configuration(folder, number, url, deadline_seconds) for number in range(REPLICAS)]
        settings = Settings.load(configurations[0], {})
        settings.data_dir.mkdir(mode=0o700)
        KeyEncryption.create(settings.key_encryption_path)
        secret = read_or_create_secret(settings.hub_secret_path)
        _fill(settings, url, size, sessions)
        hub = stack.enter_context(_running_hub())
        replicas = [stack.enter_context(_replica(configuration, hub.environ())) for configuration in configurations]
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        meter = Meter(replicas, connection, server.pid)
        yield ScaleInstallation(folder, replicas, secret, hub, meter, size, sessions)


def _write_configuration(folder: Path, number: int, url: str, deadline_seconds: float) -> Path:
    file = folder / f"aizen-{number}.yaml"
    # The same address on both, as that of a load balancer; nothing asks it. All limits are the defaults'.
    address = {"port": free_port(), "url": "http://127.0.0.1:1"}
    service = {**address, "managed": False, "deadline_seconds": deadline_seconds}
    document: dict[str, Any] = {
        "data_dir": "data",
        "database": url,
        "service": service,
        "providers": PROVIDERS,
        # The tokens of the first step last until the end, also on a slow machine; this changes no cost.
        "role_token": {"lifetime_seconds": 600},
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def _replica(configuration: Path, hub: Mapping[str, str]) -> Any:
    port = json.loads(configuration.read_text(encoding="utf-8"))["service"]["port"]
    command = [sys.executable, "-m", "aizen_hub.service", str(configuration)]
    environ = {"AIZEN_LOG_LEVEL": "WARNING", **hub}
    return servers.server(command, port, "/readyz", configuration.with_suffix(".log"), environ=environ)


def _fill(settings: Settings, url: str, size: Size, sessions: int) -> None:
    import psycopg

    migrate.upgrade(url)
    install.fill(url, size)
    now = time.time_ns() // 1000
    columns = 'id, "user", hub, server, project, credential, started, last_seen'
    with psycopg.connect(url) as db, db.cursor() as cursor:
        with cursor.copy(f"COPY sessions ({columns}) FROM STDIN") as copy:
            for user in range(1, sessions + 1):
                project = next(project for project, role in size.held(user) if role == ROLE)
                credential = hashlib.sha256(hub_token(user).encode()).hexdigest()
                copy.write_row((f"{user:032x}", f"u{user}", MAIN_HUB, "", project, credential, now, now))
        # Those who sign in come from a directory.
        cursor.execute("UPDATE users SET provider = 'lab' WHERE substr(name, 2)::integer > %s", (sessions,))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")
    store = Store.open(settings, install.catalog())
    try:
        with store.write(SERVICE_ACTOR) as tx:
            registration.create_user(tx, ADMIN, password=PASSWORD)
            assignments.unauthorized_write_assignment(
                tx, "AIZEN_ADMIN", SYSTEM, Identity.user(ADMIN), reason="benchmark"
            )
    finally:
        store.close()


@contextmanager
def _running_hub() -> Iterator[FakeHub]:
    """Run a stand-in for the hub's API in a thread: replicas ask it who opens pages of the panel."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="hub", daemon=True)
    thread.start()

    async def open_hub() -> FakeHub:
        return FakeHub()

    async def close_hub(hub: FakeHub) -> None:
        hub.server.stop()
        await hub.server.close_all_connections()

    try:
        hub = asyncio.run_coroutine_threadsafe(open_hub(), loop).result(30)
        try:
            yield hub
        finally:
            asyncio.run_coroutine_threadsafe(close_hub(hub), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
