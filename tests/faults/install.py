"""The people and projects of a fault test, and the services that serve them.

In ``p0`` and ``p1`` everybody reads and `EXECUTOR` comes and goes; in ``duel`` two admins take each other's role away.
``robot`` is the service account that administers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.users import users
from aizen_hub.client.secret_file import read_or_make_secret
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import OWN, build
from aizen_hub.settings import Settings
from aizen_hub.store import migrate as schema
from aizen_hub.store.actor import Actor, Road
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.faults.history import AFTERMATH, NEMESIS, SECOND, Recorder
from tests.faults.processes import Service
from tests.faults.rules import RECOVERY_SECONDS, Violation, check_history
from tests.faults.store_consistency import Books, check_books, read_books
from tests.fixtures.ports import free_port

DEADLINE_SECONDS = 2.0
EXECUTOR, READER, ADMIN = "PROJECT_EXECUTOR", "PROJECT_READER", "PROJECT_ADMIN"
PROJECTS = ("p0", "p1")
DUEL = "duel"
ADMINS = ("ada", "bea")
PEOPLE = tuple(f"u{number}" for number in range(6))
COMMAND = "start training churn"
"""What an executor may do and a reader may not."""
_OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)


@dataclass
class Town:
    """A store with people in it, and the services on it.

    Attributes
    ----------
    robot : str
        The credential of the service account that administers.
    """

    folder: Path
    database: str | None
    settings: Settings
    robot: str
    hub_secret: str
    services: list[Service] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    before: Books | None = None

    @property
    def service(self) -> Service:
        return self.services[0]

    def books(self) -> Books:
        return read_books(self.settings.database_url, self.settings.checkpoint_path)

    def begin(self) -> None:
        """Take down what is there before the clients come."""
        self.before = self.books()
        earlier, self.recorder = self.recorder, Recorder()
        recent = time.monotonic_ns() - RECOVERY_SECONDS * SECOND
        for op in earlier.ops():
            if op.client == NEMESIS and op.end > recent:
                self.recorder.add(replace(op, op=AFTERMATH))

    def violations(self, *, recovers: bool = True) -> list[Violation]:
        """Check everything since `begin`; the services may run."""
        assert self.before is not None
        ops = self.recorder.ops()
        seen = check_history(ops, self.before.held, deadline_seconds=DEADLINE_SECONDS, recovers=recovers)
        own = [Violation("I8", f"unforeseen: {one}") for service in self.services for one in service.unforeseen()]
        return [*seen, *own, *check_books(ops, self.before, self.books())]


def configuration(folder: Path, port: int, database: str | None, **more: Any) -> Path:
    """Write the ``aizen.yaml`` of one replica."""
    file = folder / f"aizen-{port}.yaml"
    settings: dict[str, Any] = {
        "data_dir": "data",
        "confirm_protected": False,
        "service": {"port": port, "url": "http://127.0.0.1:1", "deadline_seconds": DEADLINE_SECONDS, "managed": False},
        "rate": {"requests_per_second": 100_000, "burst": 100_000, "in_flight_per_session": 200},
        "role_token": {"lifetime_seconds": 600},
        "session": {"hub_down_grace_seconds": 86_400},
        **({"database": database} if database else {}),
    }
    for name, value in more.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def found(folder: Path, database: str | None = None, *, people: Sequence[str] = PEOPLE) -> tuple[str, str]:
    """Make the store with its people and keys; return the robot's credential and the hub's secret."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings.load(configuration(folder, 1, database), {})
    settings.data_dir.mkdir(mode=0o700, exist_ok=True)
    hub_secret = read_or_make_secret(settings.hub_secret_path)
    if database is not None:
        schema.upgrade(database)
        KeyEncryption.make(settings.key_encryption_path)
    house = build(settings, instance="founding", environ={})
    try:
        with house.store.write(OWN) as tx:
            for name in (*ADMINS, *people):
                users.create(tx, name, password="quite long, 7 words of it, unguessed")
            service_accounts.create(tx, "robot")
            robot = Identity.service_account("robot")
            for role in ("AIZEN_ADMIN", "PROJECT_CREATOR"):
                assignments.put(tx, role, "system", robot, reason="test")
            for name in (*PROJECTS, DUEL):
                projects.create(tx, name, owner=Identity.user(ADMINS[0]))
                assignments.put(tx, ADMIN, name, Identity.user(ADMINS[1]), reason="test")
                assignments.put(tx, ADMIN, name, robot, reason="test")
            for project in PROJECTS:
                for name in people:
                    assignments.put(tx, READER, project, Identity.user(name), reason="test")
        with house.store.write(_OPERATOR) as tx:
            credential: str = service_accounts.issue(tx, "robot").data["credential"]
    finally:
        house.court.close()
        house.pools.close()
        house.hub.close()
        house.store.close()
    return credential, hub_secret


@contextmanager
def town(
    folder: Path,
    founded: tuple[str, str],
    database: str | None = None,
    *,
    replicas: int = 1,
    module: Sequence[str] = ("aizen_hub.service",),
    start: bool = True,
    kill_at: str | None = None,
    **more: Any,
) -> Iterator[Town]:
    """Serve a founded town with one service or several; all of them end with the block."""
    robot, hub_secret = founded
    services = []
    for _ in range(replicas):
        port = free_port()
        services.append(Service(configuration(folder, port, database, **more), port, module))
    settings = Settings.load(services[0].config, {})
    here = Town(folder, database, settings, robot, hub_secret, services)
    try:
        if start:
            for one in services:
                one.start(wait=False, kill_at=kill_at)
            for one in services:
                one.wait_ready()
        here.begin()
        yield here
    finally:
        for one in services:
            one.stop()
