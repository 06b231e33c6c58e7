"""The people and projects of a fault test, and the services that serve them.

In ``p0`` and ``p1`` every user is a reader and `EXECUTOR` is granted and revoked; in ``duel`` two admins revoke each
other's role.
``robot`` is the service account with which tests administer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.identity import Identity
from aizen_hub.secret_files import read_or_create_secret
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.settings import Settings
from aizen_hub.store import migrate
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.faults.history import AFTERMATH, NEMESIS, SECOND, Recorder
from tests.faults.rules import LONGEST_RECOVERY_SECONDS, Violation, check_history
from tests.faults.service_process import Service
from tests.faults.store_consistency import StoreState, check_consistency, read_state
from tests.fixtures.network.ports import free_port

DEADLINE_SECONDS = 2.0
EXECUTOR, READER, ADMIN = "PROJECT_EXECUTOR", "PROJECT_READER", "PROJECT_ADMIN"
PROJECTS = ("p0", "p1")
DUEL = "duel"
ADMINS = ("ada", "bea")
PEOPLE = tuple(f"u{number}" for number in range(6))
COMMAND = "start training churn"
"""What an executor may do and a reader may not."""
_OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)


@dataclass
class Installation:
    """A store with people in it, and the services on it.

    Attributes
    ----------
    admin_credential : str
        Of the service account that administers.
    front : int or None
        The port of a load balancer before the services.
    """

    folder: Path
    database: str | None
    settings: Settings
    admin_credential: str
    hub_secret: str
    services: list[Service] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    initial_state: StoreState | None = None
    front: int | None = None

    @property
    def service(self) -> Service:
        return self.services[0]

    def read_state(self) -> StoreState:
        return read_state(self.settings.database_url, self.settings.checkpoint_path)

    def start_history(self) -> None:
        """Take down what is there before the clients come."""
        self.initial_state = self.read_state()
        earlier, self.recorder = self.recorder, Recorder()
        recent = time.monotonic_ns() - LONGEST_RECOVERY_SECONDS * SECOND
        for op in earlier.ops():
            if op.client == NEMESIS and op.end > recent:
                self.recorder.add(replace(op, op=AFTERMATH))

    def violations(self, *, recovers: bool = True) -> list[Violation]:
        """Check everything since `begin`; the services may run."""
        assert self.initial_state is not None
        ops, seconds = self.recorder.ops(), self.settings.service.deadline_seconds
        seen = check_history(ops, self.initial_state.held, deadline_seconds=seconds, recovers=recovers)
        own = [
            Violation("I8", f"unforeseen: {one}") for service in self.services for one in service.unexpected_failures()
        ]
        return [*seen, *own, *check_consistency(ops, self.initial_state, self.read_state())]


def write_configuration(folder: Path, port: int, database: str | None, **more: Any) -> Path:
    """Write the ``aizen.yaml`` of one replica."""
    file = folder / f"aizen-{port}.yaml"
    settings: dict[str, Any] = {
        "data_dir": "data",
        "confirm_protected": False,
        "service": {
            "port": port,
            "url": "http://127.0.0.1:1",
            "deadline_seconds": DEADLINE_SECONDS,
            "managed": False,
            "drain_seconds": 0,  # their clients ask each replica directly
        },
        "rate": {"requests_per_second": 100_000, "burst": 100_000, "in_flight_per_session": 200},
        "role_token": {"lifetime_seconds": 600},
        "session": {"hub_down_grace_seconds": 86_400},
        **({"database": database} if database else {}),
    }
    for name, value in more.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def create_installation(
    folder: Path, database: str | None = None, *, people: Sequence[str] = PEOPLE, projects: Sequence[str] = PROJECTS
) -> tuple[str, str]:
    """Make the store with its people and keys; return the robot's credential and the hub's secret."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings.load(write_configuration(folder, 1, database), {})
    settings.data_dir.mkdir(mode=0o700, exist_ok=True)
    hub_secret = read_or_create_secret(settings.hub_secret_path)
    if database is not None:
        migrate.upgrade(database)
        KeyEncryption.create(settings.key_encryption_path)
    context = build_context(settings, instance="founding", environ={})
    try:
        with context.store.write(SERVICE_ACTOR) as tx:
            for name in (*ADMINS, *people):
                registration.create_user(tx, name, password="quite long, 7 words of it, unguessed")
            accounts.create_service_account(tx, "robot")
            robot = Identity.service_account("robot")
            for role in ("AIZEN_ADMIN", "PROJECT_CREATOR"):
                assignments.unauthorized_write_assignment(tx, role, "system", robot, reason="test")
            for name in (*projects, DUEL):
                lifecycle.create_project(tx, name, owner=Identity.user(ADMINS[0]))
                assignments.unauthorized_write_assignment(tx, ADMIN, name, Identity.user(ADMINS[1]), reason="test")
                assignments.unauthorized_write_assignment(tx, ADMIN, name, robot, reason="test")
            for project in projects:
                for name in people:
                    assignments.unauthorized_write_assignment(tx, READER, project, Identity.user(name), reason="test")
        with context.store.write(_OPERATOR) as tx:
            credential: str = credentials.issue_credential(tx, "robot").data["credential"]
    finally:
        context.decisions.close()
        context.pools.close()
        asyncio.run(context.main_hub.api.close())
        context.store.close()
    return credential, hub_secret


@contextmanager
def run_installation(
    folder: Path,
    installation_secrets: tuple[str, str],
    database: str | None = None,
    *,
    replicas: int = 1,
    module: Sequence[str] = ("aizen_hub.service",),
    start: bool = True,
    kill_at: str | None = None,
    **more: Any,
) -> Iterator[Installation]:
    """Serve a created installation with one or several replicas; all of them end with the block."""
    robot, hub_secret = installation_secrets
    services = []
    for _ in range(replicas):
        port = free_port()
        services.append(Service(write_configuration(folder, port, database, **more), port, module))
    settings = Settings.load(services[0].config, {})
    installation = Installation(folder, database, settings, robot, hub_secret, services)
    try:
        if start:
            for one in services:
                one.start(wait=False, kill_at=kill_at)
            for one in services:
                one.wait_ready()
        installation.start_history()
        yield installation
    finally:
        for one in services:
            one.stop()
