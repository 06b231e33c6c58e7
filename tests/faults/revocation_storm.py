"""Revocations on one replica, each followed at once by a command on the other."""

from __future__ import annotations

import itertools
import threading
import time

from tests.faults.installation import PEOPLE, Installation
from tests.faults.recording_client import BUSY_ATTEMPTS, Client


def run_revocation_storm(
    installation: Installation, limit: int, seconds: float, *, minimum: int = 0, project: str = "p0"
) -> int:
    """Give, ask, take, ask, for several people at once, until there were ``limit`` revocations or the time is over.

    A slow machine gets up to a minute more to come to the ``minimum`` that proves something.

    Returns
    -------
    int
        How many revocations were acknowledged, each with a command after it that was answered.

    Raises
    ------
    AssertionError
        A command was allowed after the revocation that came before it.
    """
    counter, lock = itertools.count(1), threading.Lock()
    until = time.monotonic() + seconds
    done, faults = 0, []

    def revoke_repeatedly(number: int, user: str) -> None:
        nonlocal done
        grantor, decider = (
            Client(installation, f"grantor-{user}", 0),
            Client(installation, f"decider-{user}", len(installation.services) - 1),
        )
        session = decider.open_session(user, project, f"storm-{number}", attempts=BUSY_ATTEMPTS)
        if session is None:
            faults.append(f"no session for {user}")
            return
        while not faults and next(counter) <= limit:
            if time.monotonic() > (until if done >= minimum else until + 60):
                break
            grant = grantor.grant(user, project, key=False)
            decider.check(session)
            revocation = grantor.revoke(user, project, key=False)
            decision = decider.check(session)
            # What got no answer on a busy machine may still happen; the checks of the history know that.
            if decision.result == "allowed" and revocation.result == "done" and grant.result in ("done", "same"):
                faults.append(f"{user} was allowed at {decision.revision} after {revocation.revision}")
            with lock:
                done += revocation.result == "done" and decision.result == "denied"

    threads = [threading.Thread(target=revoke_repeatedly, args=(number, user)) for number, user in enumerate(PEOPLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 90)
    assert not faults, faults[0]
    return done
