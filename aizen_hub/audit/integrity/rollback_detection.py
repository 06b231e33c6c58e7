"""Whether the database is the one that the checkpoints were made of, or an older one that was restored (T-40)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from aizen_hub.audit.archive.manifest import Seals
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFault, Head, in_force
from aizen_hub.store import tables

REMEDY = "bring back the newest database, or go on from this one with `aizen-hub db accept-restore`"
_audit = tables.audit.c


@dataclass(frozen=True, slots=True)
class Loss:
    """What was signed and is not in the database.

    Attributes
    ----------
    void_from : int
        The first checkpoint that shows something else.
    revision : int
        The newest that was signed, or the present one if none is newer.
    present : int
        The revision that the database shows.
    since, until : datetime or None
        What is lost was recorded between these checkpoints: the last that fits, and the newest.
    """

    void_from: int
    revision: int
    present: int
    since: datetime | None
    until: datetime | None

    @property
    def sentence(self) -> str:
        when = "" if self.until is None else f" until {self.until.isoformat(timespec='seconds')}"
        if self.revision > self.present:
            what = f"its revision is {self.present}, and {self.revision} was signed{when}"
        else:
            what = f"it does not hold the audit that was signed{when}"
        return f"this database is older than the last checkpoint, or another one: {what}"


def find_loss(
    conn: Connection,
    present: int,
    seals: Seals,
    checkpoints: Sequence[Checkpoint],
    strange: Iterable[CheckpointFault] = (),
) -> Loss | None:
    """Compare the database with its checkpoints, oldest first; None if it holds all that was signed.

    Parameters
    ----------
    present : int
        The revision that ``conn``'s view shows.
    strange : iterable of CheckpointFault
        Checkpoints signed with keys that the database does not have: made after it was copied, or not of it.
    """
    strangers = [one.unsigned for one in strange if one.unsigned is not None]
    standing = in_force(checkpoints)
    newest: dict[str, Head] = {}
    for one in standing:
        newest |= one.heads
    signed = max((one.revision for one in standing), default=0)
    if not strangers and signed <= present and all(_holds(conn, seals, *one) for one in newest.items()):
        return None
    void, since = [*strangers], None
    for one in standing:
        if one.revision > present or not all(_holds(conn, seals, *head) for head in one.heads.items()):
            void.append(one.number)
            break
        since = one.at
    until = max((one.at for one in standing), default=None)
    return Loss(min(void), max(signed, present), present, since, until)


def _holds(conn: Connection, seals: Seals, writer: str, head: Head) -> bool:
    last, digest = seals.boundary(writer)
    if head.number < last:
        return True  # in a file; the seal is behind it on the same chain
    if head.number == last:
        return head.hash == digest
    found = conn.scalar(select(_audit.hash).where(_audit.writer == writer, _audit.number == head.number))
    return found is not None and bytes(found) == head.hash
