"""Schedules that bring out one kind of bug each, within seconds. On a sound service they find nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from tests.faults.clients import Client
from tests.faults.history import SECOND
from tests.faults.install import ADMIN, ADMINS, DUEL, EXECUTOR, PEOPLE, READER, Town
from tests.faults.operator_client import operator

Schedule = Callable[[Town], None]


def kill_after_change(here: Town) -> None:
    """The service dies as soon as a grant was acknowledged."""
    client = Client(here, "giver")
    client.grant("u0", "p0")
    with here.recorder.fault("kill"):
        here.service.kill()
        here.service.start(wait=False)
    here.service.wait_ready()
    _look(here, "u0", "p0")


def kill_after_decision(here: Town) -> None:
    """The service dies as soon as a decision was answered."""
    client = Client(here, "asker")
    session = client.open("u1", "p0")
    assert session is not None
    client.check(session)
    with here.recorder.fault("kill"):
        here.service.kill()
        here.service.start(wait=False)
    here.service.wait_ready()
    _look(here, "u1", "p0")


def revoke_and_ask(here: Town) -> None:
    """Somebody who was allowed just now asks again right after the revocation, at another replica if there is one."""
    giver, asker = Client(here, "giver"), Client(here, "asker", len(here.services) - 1)
    session = asker.open("u2", "p0")
    assert session is not None
    giver.grant("u2", "p0")
    asker.check(session)
    giver.revoke("u2", "p0")
    asker.check(session)


def end_and_ask(here: Town) -> None:
    """A session is ended right before its token is used again, at another replica if there is one."""
    hub, asker = Client(here, "hub"), Client(here, "asker", len(here.services) - 1)
    hub.grant("u3", "p0")
    session = asker.open("u3", "p0")
    assert session is not None
    asker.check(session)
    hub.end("u3", "p0")
    asker.check(session)
    hub.revoke("u3", "p0")


def duel(here: Town) -> None:
    """Two admins lose their role at the same moment, each as the one who is not the last."""
    for admin in ADMINS:
        Client(here, "judge").grant(admin, DUEL, ADMIN)
    barrier = threading.Barrier(len(ADMINS))

    def fall(name: str) -> None:
        client = Client(here, f"second-of-{name}")
        barrier.wait(10)
        client.revoke(name, DUEL, ADMIN)
        client.close()

    threads = [threading.Thread(target=fall, args=(name,)) for name in ADMINS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def repeat(here: Town) -> None:
    """A grant is sent once more with its key, after its effect was undone."""
    client = Client(here, "giver")
    first = client.grant("u4", "p0")
    client.revoke("u4", "p0")
    client.again(first)
    _look(here, "u4", "p0")


def import_members(here: Town) -> None:
    """A file replaces all members of a project."""
    members = [(one, ADMIN) for one in ADMINS] + [(one, READER) for one in PEOPLE]
    Client(here, "giver").replace_members("p1", [*members, *((one, EXECUTOR) for one in PEOPLE[:3])])


def refuse_at_once(here: Town) -> None:
    """Several people reach at the same time for what is not theirs, and one reads: all of it is recorded."""

    def work(number: int) -> None:
        client = Client(here, f"reacher-{number}")
        session = client.open(PEOPLE[number], "p0")
        assert session is not None
        for _ in range(8):
            client.reach_beyond(session)
            if number == 0:
                client.read_users()
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def pause_before_answer(here: Town) -> None:
    """The service stands still between deciding and answering, and the right is taken meanwhile.

    It was started to stop itself there, see `aizen_hub.store.failpoints`.
    """
    with operator(here) as beside:
        beside.change("grant", "u5", "p0")
        asker = Client(here, "asker")
        session = asker.open("u5", "p0")
        assert session is not None
        thread = threading.Thread(target=asker.check, args=(session,))
        thread.start()
        deadline = time.monotonic() + 10
        while not here.service.stopped() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert here.service.stopped(), "it did not reach the point"
        with here.recorder.fault("pause"):
            beside.change("revoke", "u5", "p0")
            time.sleep(PAUSE_SECONDS)
            here.service.send(signal.SIGCONT)
        thread.join(20)
    _look(here, "u5", "p0")


PAUSE_SECONDS = 2.2
STOP_BEFORE_ANSWER = "before-answer:1:stop"


def _look(here: Town, user: str, project: str) -> None:
    """Ask with a new session, as often as it takes until there is an answer."""
    client = Client(here, "auditor")
    deadline = time.monotonic_ns() + 10 * SECOND
    while time.monotonic_ns() < deadline:
        session = client.open(user, project, "last")
        if session is not None and client.check(session).result in ("allowed", "denied"):
            break
        time.sleep(0.1)
    client.close()
