"""Schedules that bring out one kind of bug each, within seconds. On a sound service they find nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from tests.faults.history import SECOND
from tests.faults.installation import ADMIN, ADMINS, DUEL, EXECUTOR, PEOPLE, READER, Installation
from tests.faults.operator_client import operator_client
from tests.faults.recording_client import BUSY_ATTEMPTS, Client

Schedule = Callable[[Installation], None]


def kill_after_change(installation: Installation) -> None:
    """The service dies as soon as a grant was acknowledged."""
    client = Client(installation, "grantor")
    client.grant("u0", "p0")
    with installation.recorder.fault("kill"):
        installation.service.kill()
        installation.service.start(wait=False)
    installation.service.wait_ready()
    _check_until_answered(installation, "u0", "p0")


def kill_after_decision(installation: Installation) -> None:
    """The service dies as soon as a decision was answered."""
    client = Client(installation, "decider")
    session = client.open_session("u1", "p0", attempts=BUSY_ATTEMPTS)
    assert session is not None
    client.check(session)
    with installation.recorder.fault("kill"):
        installation.service.kill()
        installation.service.start(wait=False)
    installation.service.wait_ready()
    _check_until_answered(installation, "u1", "p0")


def revoke_and_check(installation: Installation) -> None:
    """An allowed user decides again right after the revocation, on another replica if there is one."""
    grantor, decider = Client(installation, "grantor"), Client(installation, "decider", len(installation.services) - 1)
    grantor.grant("u2", "p0")
    # Compiles the rights of the user, as the check does.
    session = decider.open_session("u2", "p0", attempts=BUSY_ATTEMPTS)
    assert session is not None
    decider.check(session)
    grantor.revoke("u2", "p0")
    decider.check(session)


def end_and_check(installation: Installation) -> None:
    """A session is ended right before its token is used again, at another replica if there is one."""
    hub, decider = Client(installation, "hub"), Client(installation, "decider", len(installation.services) - 1)
    hub.grant("u3", "p0")
    session = decider.open_session("u3", "p0", attempts=BUSY_ATTEMPTS)
    assert session is not None
    decider.check(session)
    hub.end_session("u3", "p0")
    decider.check(session)
    hub.revoke("u3", "p0")


def duel(installation: Installation) -> None:
    """Two admins lose their role at the same moment, each as the one who is not the last."""
    for admin in ADMINS:
        Client(installation, "judge").grant(admin, DUEL, ADMIN)
    barrier = threading.Barrier(len(ADMINS))

    def revoke_own_role(name: str) -> None:
        client = Client(installation, f"second-of-{name}")
        barrier.wait(10)
        client.revoke(name, DUEL, ADMIN)
        client.close()

    threads = [threading.Thread(target=revoke_own_role, args=(name,)) for name in ADMINS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def repeat(installation: Installation) -> None:
    """A grant is sent once more with its key, after its effect was undone."""
    client = Client(installation, "grantor")
    first = client.grant("u4", "p0")
    client.revoke("u4", "p0")
    client.repeat(first)
    _check_until_answered(installation, "u4", "p0")


def import_members(installation: Installation) -> None:
    """A file replaces all members of a project."""
    members = [(one, ADMIN) for one in ADMINS] + [(one, READER) for one in PEOPLE]
    Client(installation, "grantor").replace_members("p1", [*members, *((one, EXECUTOR) for one in PEOPLE[:3])])


def refuse_at_once(installation: Installation) -> None:
    """Several people reach at the same time for what is not theirs, and one reads: all of it is recorded."""

    def send_refused_requests(number: int) -> None:
        client = Client(installation, f"reacher-{number}")
        session = client.open_session(PEOPLE[number], "p0", attempts=BUSY_ATTEMPTS)
        assert session is not None
        for _ in range(8):
            client.request_unauthorized_grant(session)
            if number == 0:
                client.read_users()
        client.close()

    threads = [threading.Thread(target=send_refused_requests, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def pause_before_answer(installation: Installation) -> None:
    """The service stands still between deciding and answering, and the right is taken meanwhile.

    It was started to stop itself there, see `aizen_hub.store.failpoints`.
    """
    with operator_client(installation) as operator:
        operator.change("grant", "u5", "p0")
        decider = Client(installation, "decider")
        session = decider.open_session("u5", "p0", attempts=BUSY_ATTEMPTS)
        assert session is not None
        thread = threading.Thread(target=decider.check, args=(session,))
        thread.start()
        deadline = time.monotonic() + 10
        while not installation.service.is_stopped() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert installation.service.is_stopped(), "it did not reach the point"
        with installation.recorder.fault("pause"):
            operator.change("revoke", "u5", "p0")
            time.sleep(PAUSE_SECONDS)
            installation.service.send_signal(signal.SIGCONT)
        thread.join(20)
    _check_until_answered(installation, "u5", "p0")


PAUSE_SECONDS = 2.2
STOP_BEFORE_ANSWER = "before-answer:1:stop"


def _check_until_answered(installation: Installation, user: str, project: str) -> None:
    """Ask with a new session, as often as it takes until there is an answer."""
    client = Client(installation, "auditor")
    deadline = time.monotonic_ns() + 10 * SECOND
    while time.monotonic_ns() < deadline:
        session = client.open_session(user, project, "last", attempts=BUSY_ATTEMPTS)
        if session is not None and client.check(session).result in ("allowed", "denied"):
            break
        time.sleep(0.1)
    client.close()
