"""Leases on the open commands at the core: which process follows which command.

A command has a row here from its intent row to its outcome row, written in the same transactions, so the commands of a
process that ended in any way are found in a few rows. A short lease names the owner. The owner renews all its leases
with one statement; expired ones are claimed by the next process that polls. So a command has no owner for at most
`LEASE_SECONDS` plus one polling interval.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, insert, or_, select, update

from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

LEASE_SECONDS = 10.0
START_SECONDS = 30.0
"""The first lease: longer than sending a command and its acceptance by the core may take."""
_MAX_LEASE = timedelta(minutes=2)
"""A lease that ends later than this was set by a wrong clock."""
_o = tables.open_commands


def add_command(tx: WriteTransaction, command: CoreCommand, owner: str, text: str) -> None:
    """Insert a command that is about to be sent.

    Parameters
    ----------
    owner : str
        Id of the process that sends it.
    text : str
        Canonical text of the command without secrets.
    """
    tx.conn.execute(
        insert(_o).values(
            decision_id=command.id,
            user=command.user,
            project=command.project,
            session=command.session,
            acting=None if tx.actor.acting is None else str(tx.actor.acting),
            command=text,
            job=command.job,
            owner=owner,
            lease_until=tx.now + timedelta(seconds=START_SECONDS),
            lost=False,
        )
    )


def find_command(tx: ReadTransaction, decision_id: str) -> Any | None:
    """Return the row of an open command, or None."""
    return tx.conn.execute(select(_o).where(_o.c.decision_id == decision_id)).first()


def is_owner(tx: ReadTransaction, decision_id: str, owner: str, seconds: float) -> bool:
    """Return whether a process owns a command and its lease lasts at least ``seconds`` more."""
    row = find_command(tx, decision_id)
    return row is not None and row.owner == owner and row.lease_until >= tx.now + timedelta(seconds=seconds)


def any_unowned(tx: ReadTransaction) -> bool:
    """Return whether any open command has no owner."""
    unowned: bool | None = tx.conn.scalar(select(exists().where(_is_unowned(tx))))
    return bool(unowned)


def renew(tx: WriteTransaction, owner: str, decision_ids: Collection[str]) -> None:
    """Extend the leases of a process; commands that another process has claimed since are not changed."""
    lease_until = tx.now + timedelta(seconds=LEASE_SECONDS)
    owned = (_o.c.owner == owner, _o.c.decision_id.in_(sorted(decision_ids)))
    tx.conn.execute(update(_o).where(*owned, _o.c.lease_until < lease_until).values(lease_until=lease_until))


def claim(tx: WriteTransaction, owner: str, limit: int) -> Sequence[Any]:
    """Take over up to ``limit`` commands without an owner and return their rows; each goes to one process only."""
    rows = tx.conn.execute(select(_o).where(_is_unowned(tx)).order_by(_o.c.lease_until).limit(max(0, limit))).all()
    if rows:
        lease_until = tx.now + timedelta(seconds=LEASE_SECONDS)
        decision_ids = [row.decision_id for row in rows]
        tx.conn.execute(
            update(_o).where(_o.c.decision_id.in_(decision_ids)).values(owner=owner, lease_until=lease_until)
        )
    return rows


def release(tx: WriteTransaction, owner: str, decision_ids: Collection[str]) -> None:
    """Give up the ownership of commands, so that another process can claim them."""
    owned = (_o.c.owner == owner, _o.c.decision_id.in_(sorted(decision_ids)))
    tx.conn.execute(update(_o).where(*owned).values(lease_until=tx.now))


def mark_lost(tx: WriteTransaction, decision_id: str) -> None:
    """Mark a job whose state at the core is unknown, which is recorded."""
    tx.conn.execute(update(_o).where(_o.c.decision_id == decision_id).values(lost=True))


def delete_command(tx: WriteTransaction, decision_id: str) -> None:
    """Delete a command that has ended."""
    tx.conn.execute(delete(_o).where(_o.c.decision_id == decision_id))


def _is_unowned(tx: ReadTransaction) -> ColumnElement[bool]:
    return or_(_o.c.lease_until <= tx.now, _o.c.lease_until > tx.now + _MAX_LEASE)
