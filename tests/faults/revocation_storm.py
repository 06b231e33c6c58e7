"""Revocations on one replica, each followed at once by a command on the other."""

from __future__ import annotations

import itertools
import threading
import time

from tests.faults.clients import Client
from tests.faults.install import PEOPLE, Town


def storm(here: Town, most: int, seconds: float, *, fewest: int = 0, project: str = "p0") -> int:
    """Give, ask, take, ask, for several people at once, until there were ``most`` revocations or the time is over.

    A slow machine gets up to a minute more to come to the ``fewest`` that prove something.

    Returns
    -------
    int
        How many revocations were acknowledged, each with a command after it that was answered.

    Raises
    ------
    AssertionError
        A command was allowed after the revocation that came before it.
    """
    counter, guard = itertools.count(1), threading.Lock()
    until = time.monotonic() + seconds
    done, faults = 0, []

    def work(number: int, user: str) -> None:
        nonlocal done
        giver, asker = Client(here, f"giver-{user}", 0), Client(here, f"asker-{user}", len(here.services) - 1)
        session = asker.open(user, project, f"storm-{number}")
        if session is None:
            faults.append(f"no session for {user}")
            return
        while not faults and next(counter) <= most:
            if time.monotonic() > (until if done >= fewest else until + 60):
                break
            given = giver.grant(user, project, key=False)
            asker.check(session)
            taken = giver.revoke(user, project, key=False)
            asked = asker.check(session)
            # What got no answer on a busy machine may still happen; the checks of the history know that.
            if asked.result == "allowed" and taken.result == "done" and given.result in ("done", "same"):
                faults.append(f"{user} was allowed at {asked.revision} after {taken.revision}")
            with guard:
                done += taken.result == "done" and asked.result == "denied"

    threads = [threading.Thread(target=work, args=(number, user)) for number, user in enumerate(PEOPLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 90)
    assert not faults, faults[0]
    return done
