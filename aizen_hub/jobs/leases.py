"""What the core was given and has not ended, and which process watches over it.

Every command of the core stands here from its intent row to its outcome row, written in the same transactions: so what
a process leaves behind, however it ends, is found by looking at a few rows. A short lease says who watches. Whoever
watches lets it grow with one statement for all its commands; what nobody watches any more is taken by the next process
that looks. So a command is unwatched for at most `LEASE_SECONDS` and the pause between two looks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, insert, or_, select, update

from aizen_hub.jobs.core_command import Order
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read, Write

LEASE_SECONDS = 10.0
START_SECONDS = 30.0
"""The first lease: longer than a command may take to its first byte, and the core to accept it."""
_FAR = timedelta(minutes=2)
"""A lease beyond this was given by a clock that was wrong."""
_o = tables.open_commands


def begin(tx: Write, order: Order, watcher: str, command: str) -> None:
    """Note a command that is about to be sent.

    Parameters
    ----------
    watcher : str
        The process that sends it.
    command : str
        Canonical text, as it may be recorded.
    """
    tx.conn.execute(
        insert(_o).values(
            decision_id=order.id,
            user=order.user,
            project=order.project,
            session=order.session,
            acting=None if tx.actor.acting is None else str(tx.actor.acting),
            command=command,
            job=order.job,
            watcher=watcher,
            until=tx.now + timedelta(seconds=START_SECONDS),
            lost=False,
        )
    )


def find(tx: Read, number: str) -> Any | None:
    """Return the row of a command that has not ended; None for every other."""
    return tx.conn.execute(select(_o).where(_o.c.decision_id == number)).first()


def holds(tx: Read, number: str, watcher: str, seconds: float) -> bool:
    """Tell whether a process watches over a command, and goes on to do so for as long at least."""
    row = find(tx, number)
    return row is not None and row.watcher == watcher and row.until >= tx.now + timedelta(seconds=seconds)


def anybody_waits(tx: Read) -> bool:
    """Tell whether there are commands that nobody watches over."""
    found: bool | None = tx.conn.scalar(select(exists().where(_unwatched(tx))))
    return bool(found)


def keep(tx: Write, watcher: str, numbers: Collection[str]) -> None:
    """Go on watching over commands; those that somebody else has taken meanwhile are theirs."""
    until = tx.now + timedelta(seconds=LEASE_SECONDS)
    mine = (_o.c.watcher == watcher, _o.c.decision_id.in_(sorted(numbers)))
    tx.conn.execute(update(_o).where(*mine, _o.c.until < until).values(until=until))


def take(tx: Write, watcher: str, most: int) -> Sequence[Any]:
    """Take commands that nobody watches over, and return their rows. Of several processes only one gets each."""
    rows = tx.conn.execute(select(_o).where(_unwatched(tx)).order_by(_o.c.until).limit(max(0, most))).all()
    if rows:
        until = tx.now + timedelta(seconds=LEASE_SECONDS)
        numbers = [row.decision_id for row in rows]
        tx.conn.execute(update(_o).where(_o.c.decision_id.in_(numbers)).values(watcher=watcher, until=until))
    return rows


def release(tx: Write, watcher: str, numbers: Collection[str]) -> None:
    """Let anybody watch over commands from now on."""
    mine = (_o.c.watcher == watcher, _o.c.decision_id.in_(sorted(numbers)))
    tx.conn.execute(update(_o).where(*mine).values(until=tx.now))


def lose(tx: Write, number: str) -> None:
    """Note that of a job nobody can say whether it runs, and that this is recorded."""
    tx.conn.execute(update(_o).where(_o.c.decision_id == number).values(lost=True))


def end(tx: Write, number: str) -> None:
    """Strike a command out that has ended."""
    tx.conn.execute(delete(_o).where(_o.c.decision_id == number))


def _unwatched(tx: Read) -> ColumnElement[bool]:
    return or_(_o.c.until <= tx.now, _o.c.until > tx.now + _FAR)
