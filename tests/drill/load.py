"""Kernels that ask for decisions without a pause, each by one replica and at once by another if that one refuses."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from aizen_hub.demo.step_counter import expect
from tests.faults.installation import COMMAND, EXECUTOR, PEOPLE, PROJECTS, Installation
from tests.faults.recording_client import Client, Session

_PAUSE_SECONDS = 0.01
_JOIN_SECONDS = 30.0


class Load:
    """Clients that run until the end of the block.

    Attributes
    ----------
    counts : Counter
        Answers by kind: ``allowed``, ``denied``, ``unanswered`` (by no replica), and ``retried`` (by another replica).
    longest : float
        Seconds from a question to its answer, with its retries.
    """

    def __init__(self, installation: Installation, clients: int) -> None:
        self.counts: Counter[str] = Counter()
        self.longest = 0.0
        self._installation, self._guard, self._stop = installation, threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client-{number}", daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def reset(self) -> None:
        """Count from here on."""
        with self._guard:
            self.counts.clear()
            self.longest = 0.0

    def wait(self, kind: str, count: int = 200, seconds: float = 30.0) -> None:
        """Wait until there are so many answers of one kind."""
        end = time.monotonic() + seconds
        while self.counts[kind] < count:
            expect(time.monotonic() < end, f"{self.counts[kind]} of {count} answers were {kind}: {dict(self.counts)}")
            time.sleep(_PAUSE_SECONDS)

    def _run(self, number: int) -> None:
        replicas = len(self._installation.services)
        clients = [Client(self._installation, f"c{number}", replica) for replica in range(replicas)]
        session: Session | None = None
        turn = number
        while not self._stop.is_set():
            if session is None:
                session = open_session(clients[turn % replicas], number)
            if session is None:
                self._count("unanswered", 0.0)
                turn += 1
                time.sleep(_PAUSE_SECONDS)
                continue
            start = time.monotonic()
            kind = None
            for attempt in range(replicas):
                kind = decide(clients[(turn + attempt) % replicas], session)
                if kind is not None:
                    break
                self._count("retried" if attempt + 1 < replicas else "unanswered", 0.0)
            turn += 1
            if kind == "ended":
                session = None
            if kind is not None:
                self._count(kind, time.monotonic() - start)
            time.sleep(_PAUSE_SECONDS)
        for client in clients:
            client.close()

    def _count(self, kind: str, seconds: float) -> None:
        with self._guard:
            self.counts[kind] += 1
            self.longest = max(self.longest, seconds)


def open_session(client: Client, number: int) -> Session | None:
    """Open a session as the hub does, of a user who may execute; None if there is no answer."""
    user, project = PEOPLE[number % len(PEOPLE)], PROJECTS[number % len(PROJECTS)]
    return client.open_session(user, project, f"drill-{number}")


def decide(client: Client, session: Session) -> str | None:
    """Return how one question was answered: ``allowed``, ``denied``, ``ended`` (the session), or None."""
    reply = client.send("POST", "/api/v1/decisions", {"command": COMMAND}, session.token)
    if reply.status == http.client.OK:
        return "allowed" if reply.body["decision"]["allowed"] else "denied"
    return "ended" if reply.status == http.client.UNAUTHORIZED else None


def let_execute(installation: Installation) -> None:
    """Give every user the role that the load needs."""
    client = Client(installation, "drill")
    for project in PROJECTS:
        for user in PEOPLE:
            client.grant(user, project, EXECUTOR)
    client.close()
