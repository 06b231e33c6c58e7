"""Mixed load: people ask, administrators give and take, the hub opens and ends sessions."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.history import Op
from tests.faults.installation import ADMIN, ADMINS, DUEL, EXECUTOR, PEOPLE, PROJECTS, READER, Installation
from tests.faults.recording_client import Client, Session, SharedSessions

MAX_OPS = 280
"""On one register, so that the search stays short."""
MAX_WAIT_SECONDS = 30
"""For anything that has to come to pass."""


@dataclass
class Load:
    """Threads that send requests to an installation until they are stopped.

    Attributes
    ----------
    pause : float
        Seconds that a client thinks between two operations.
    balanced : bool
        Whether clients ask the load balancer instead of one replica each.
    faults : list
        What went wrong in a client itself.
    """

    installation: Installation
    seed: int
    deciders: int = 4
    grantors: int = 3
    pause: float = 0.01
    people: tuple[str, ...] = PEOPLE
    balanced: bool = False
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = SharedSessions()
        self._ended = threading.Event()
        self._counts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        replicas = len(self.installation.services)
        for number in range(self.deciders):
            self._thread(f"decider-{number}", number % replicas, self._check_decision)
        for number in range(self.grantors):
            self._thread(f"grantor-{number}", number % replicas, self._change_roles)
        self._thread("duellist-0", 0, self._duel)
        self._thread("duellist-1", replicas - 1, self._duel)

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            if thread.is_alive():
                raise RuntimeError(f"{thread.name} did not end")
        if self.faults:
            raise self.faults[0]

    def check_all_once(self) -> None:
        """Check every user once more, after the last fault."""
        for replica in range(len(self.installation.services)):
            client = Client(self.installation, f"auditor-{replica}", replica)
            for project in PROJECTS:
                for user in self.people:
                    session = client.open_session(user, project, f"last-{replica}")
                    if session is not None:
                        client.check(session)
            client.close()

    def _thread(self, name: str, replica: int, operation: Callable[[Client, random.Random], None]) -> None:
        def run() -> None:
            address = None if self.balanced else replica
            client, dice = Client(self.installation, name, address), random.Random(f"{self.seed} {name}")
            try:
                while not self._ended.is_set():
                    operation(client, dice)
                    time.sleep(self.pause * dice.random() * 2)
            except BaseException as error:  # noqa: BLE001 - shown by `stop`, in the thread of the test
                self.faults.append(error)
            finally:
                client.close()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _within_limit(self, user: str, project: str) -> bool:
        with self._lock:
            count = self._counts[user, project] = self._counts.get((user, project), 0) + 1
        return count < MAX_OPS

    def _check_decision(self, client: Client, dice: random.Random) -> None:
        user, project = dice.choice(self.people), dice.choice(PROJECTS)
        session = self.session(client, user, project)
        if session is None or not self._within_limit(user, project):
            time.sleep(0.05)
            return
        op = client.check(session)
        if op.result == "refused":
            self.sessions.drop(session)
        elif op.result in ("down", "unavailable", "lost"):
            time.sleep(0.05)

    def session(self, client: Client, user: str, project: str) -> Session | None:
        session = self.sessions.get(user, project)
        if session is None:
            session = client.open_session(user, project)
            if session is not None:
                self.sessions.put(session)
        return session

    def _change_roles(self, client: Client, dice: random.Random) -> None:
        user, project = dice.choice(self.people), dice.choice(PROJECTS)
        if not self._within_limit(user, project):
            time.sleep(0.05)
            return
        what = dice.random()
        op: Op | None
        if what < 0.28:
            op = client.grant(user, project, key=dice.random() < 0.8)
        elif what < 0.56:
            op = client.revoke(user, project, key=dice.random() < 0.8)
        elif what < 0.66:
            op = client.grant(user, project)
            if op.result == "done":
                client.revoke(user, project)
                client.repeat(op)
        elif what < 0.78:
            op = self._by_command(client, dice, user, project)
        elif what < 0.84:
            members = [(admin, ADMIN) for admin in ADMINS]
            members += [(one, READER) for one in self.people]
            members += [(one, EXECUTOR) for one in self.people if dice.random() < 0.5]
            op = client.replace_members(project, members)
        elif what < 0.90:
            op = client.lock(user)
            time.sleep(dice.random() * 0.05)
            client.unlock(user)
        elif what < 0.93:
            op = client.unlock(user)
        elif what < 0.95:
            op = client.read_users()
        elif what < 0.97:
            session = self.session(client, user, project)
            op = client.request_unauthorized_grant(session) if session is not None else None
        else:
            op = client.end_session(user, project)
        if op is not None and op.result == "down":
            time.sleep(0.05)

    def _by_command(self, client: Client, dice: random.Random, user: str, project: str) -> Op | None:
        admin = self.session(client, dice.choice(ADMINS), project)
        if admin is None:
            return None
        op = client.grant_by_command(admin, user, revoke=dice.random() < 0.5)
        if op.observed.get("status") == 401:
            self.sessions.drop(admin)
        return op

    def _duel(self, client: Client, dice: random.Random) -> None:
        if not self._within_limit("", DUEL):
            time.sleep(0.05)
            return
        admin = dice.choice(ADMINS)
        if dice.random() < 0.6:
            client.revoke(admin, DUEL, ADMIN)
        else:
            client.grant(admin, DUEL, ADMIN)
        time.sleep(0.02)


@contextmanager
def under_load(installation: Installation, seed: int, *, check_after: bool = True, **more: object) -> Iterator[Load]:
    """Run a load for the duration of the block; with ``check_after`` every user is checked once more afterwards."""
    load = Load(installation, seed, **more)  # type: ignore[arg-type]
    load.start()
    try:
        yield load
    except BaseException:
        load._ended.set()
        raise
    load.stop()
    if check_after:
        load.check_all_once()


def checks_since(installation: Installation, start: int, count: int = 3, result: str | None = None) -> list[Op]:
    """Wait until some questions that were asked after ``start`` are answered, with that result, and return them."""
    end = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < end:
        ops = [op for op in installation.recorder.ops() if op.op == "check" and op.call_ns > start and op.ret_ns]
        matching = [op for op in ops if result in (None, op.result)]
        if len(matching) >= count:
            return matching
        time.sleep(0.2)
    raise AssertionError("no question was answered so")
