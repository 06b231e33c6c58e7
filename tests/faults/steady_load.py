"""Clients of a load balancer that send one request after the other, and count every one that failed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from types import TracebackType
from typing import Self

from tests.faults.history import Op, Recorder
from tests.faults.installation import EXECUTOR, PEOPLE, READER, Installation
from tests.faults.recording_client import Client, Session

CLIENTS = 16
_OPEN_EVERY, _GRANT_EVERY = 40, 10
_PAUSE_SECONDS = 0.1
_WAIT_SECONDS = 120.0


class SteadyLoad:
    """Sixteen clients that run until the end of the block, in one project of an installation.

    Each asks for decisions of a user who may execute, as a kernel does. Now and then it opens its session again as the
    hub does, and the first ones grant and revoke as administrators do. A request that was not answered at once has
    failed, also where the next attempt succeeded.

    Attributes
    ----------
    counts : Counter
        Operations, by name and result.
    failures : list of Op
        Every operation with an attempt that got no answer or a 5xx, and every one that was denied.
    """

    def __init__(self, installation: Installation, project: str) -> None:
        # A recorder of its own, which keeps nothing: these are more operations than a search of histories takes.
        self._installation = replace(installation, recorder=_Forgetful())
        self._project = project
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failures: list[Op] = []
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._faults: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"steady-{number}", daemon=True)
            for number in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        client = Client(self._installation, "steady-setup", None)
        for user in PEOPLE:
            assert client.grant(user, self._project).result in ("done", "same")
        client.close()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_WAIT_SECONDS)
        if error is None and self._faults:
            raise self._faults[0]

    @property
    def requests(self) -> int:
        return self.counts.total()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        goal, end = self.requests + count, time.monotonic() + _WAIT_SECONDS
        while self.requests < goal:
            assert not self._faults, self._faults[0]
            assert time.monotonic() < end, self.counts
            time.sleep(0.05)

    def _run(self, number: int) -> None:
        try:
            client = Client(self._installation, f"steady-{number}", None)
            session: Session | None = None
            turn = 0
            user = PEOPLE[number % len(PEOPLE)]
            while not self._stop.is_set():
                if session is None or turn % _OPEN_EVERY == 0:
                    session = client.open_session(user, self._project, f"steady-{number}")
                    self._count(self._installation.recorder.ops()[-1])
                if session is not None:
                    self._count(client.check(session, EXECUTOR))
                if number < len(PEOPLE) and turn % _GRANT_EVERY == 0:
                    self._count(client.revoke(user, self._project, READER))
                    self._count(client.grant(user, self._project, READER))
                turn += 1
                time.sleep(_PAUSE_SECONDS)
            client.close()
        except BaseException as error:  # noqa: BLE001 - shown in the thread of the test
            self._faults.append(error)

    def _count(self, op: Op) -> None:
        troubled = any(op.observed.get(name) for name in ("unavailable", "not_listening", "cut"))
        with self._guard:
            self.counts[op.op, op.result or ""] += 1
            if troubled or op.result not in ("allowed", "done"):
                self.failures.append(op)


class _Forgetful(Recorder):
    """Keeps the last operation of each thread only."""

    def __init__(self) -> None:
        super().__init__()
        self._last = threading.local()

    def add(self, op: Op) -> Op:
        self._last.op = op
        return op

    def ops(self) -> list[Op]:
        return [self._last.op]
