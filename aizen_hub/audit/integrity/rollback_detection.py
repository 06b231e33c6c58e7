"""Rollback detection: whether the database is the one that the checkpoints were made of, or an older copy (T-40)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFault, Head, valid_checkpoints
from aizen_hub.store import tables

REMEDY = "restore the newest database, or accept this one with `aizen-hub db accept-restore`"
_audit = tables.audit.c


@dataclass(frozen=True, slots=True)
class Rollback:
    """What was signed and is not in the database.

    Attributes
    ----------
    void_from : int
        Number of the first checkpoint that the database does not match.
    signed_revision : int
        The newest revision that was signed, or the present one if none is newer.
    present_revision : int
        The revision of the database.
    since, until : datetime or None
        The lost records were made between these checkpoints: the last that matches, and the newest.
    """

    void_from: int
    signed_revision: int
    present_revision: int
    since: datetime | None
    until: datetime | None

    @property
    def sentence(self) -> str:
        when = "" if self.until is None else f" until {self.until.isoformat(timespec='seconds')}"
        if self.signed_revision > self.present_revision:
            evidence = f"its revision is {self.present_revision}, but {self.signed_revision} was signed{when}"
        else:
            evidence = f"it does not contain the audit that was signed{when}"
        return f"this database is older than the last checkpoint, or a different one: {evidence}"


def detect_rollback(
    conn: Connection,
    present_revision: int,
    manifests: ArchiveManifests,
    checkpoints: Sequence[Checkpoint],
    unsigned: Iterable[CheckpointFault] = (),
) -> Rollback | None:
    """Compare the database with its checkpoints, oldest first; None if it contains everything that was signed.

    Parameters
    ----------
    present_revision : int
        The revision of ``conn``'s snapshot.
    unsigned : iterable of CheckpointFault
        Checkpoints signed with keys that the database does not have: made after it was copied, or of another one.
    """
    unknown = [fault.unsigned_number for fault in unsigned if fault.unsigned_number is not None]
    valid = valid_checkpoints(checkpoints)
    newest: dict[str, Head] = {}
    for checkpoint in valid:
        newest |= checkpoint.heads
    signed_revision = max((checkpoint.revision for checkpoint in valid), default=0)
    is_newest_present = signed_revision <= present_revision and _contains_heads(conn, manifests, newest)
    if not unknown and is_newest_present:
        return None
    void, since = [*unknown], None
    for checkpoint in valid:
        if checkpoint.revision > present_revision or not _contains_heads(conn, manifests, checkpoint.heads):
            void.append(checkpoint.number)
            break
        since = checkpoint.at
    until = max((checkpoint.at for checkpoint in valid), default=None)
    return Rollback(min(void), max(signed_revision, present_revision), present_revision, since, until)


def _contains_heads(conn: Connection, manifests: ArchiveManifests, heads: Mapping[str, Head]) -> bool:
    return all(_contains_head(conn, manifests, writer, head) for writer, head in heads.items())


def _contains_head(conn: Connection, manifests: ArchiveManifests, writer: str, head: Head) -> bool:
    last, digest = manifests.archived_head(writer)
    if head.number < last:
        return True  # archived; the manifest is signed and later on the same chain
    if head.number == last:
        return head.hash == digest
    stored = conn.scalar(select(_audit.hash).where(_audit.writer == writer, _audit.number == head.number))
    return stored is not None and bytes(stored) == head.hash
