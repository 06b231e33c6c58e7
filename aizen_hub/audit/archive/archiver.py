"""Retention: the oldest rows of every chain go into a signed file, and only then out of the database.

Rows are removed after their file was written, read back and compared, and after the seal, the boundary at which the
rest begins, is in the database together with an audit row about it. A crash anywhere in between loses nothing: what
was not sealed yet is sealed by the next run, what was not removed yet is removed by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from aizen_hub.audit.archive.archive_file import SegmentFault, SegmentFile
from aizen_hub.audit.archive.manifest import NO_CHANGES, Part, Seal, Seals, fold, follows
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, Head, in_force
from aizen_hub.audit.checkpoints.signed_json import Check, Sign
from aizen_hub.audit.integrity.chain_verifier import signed_heads
from aizen_hub.audit.integrity.state_comparison import record_hash
from aizen_hub.problems import Conflict, Denied
from aizen_hub.store import failpoints as kill_point
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor
from aizen_hub.store.store import Store

_audit, _changes = tables.audit.c, tables.changes.c
_PAGE = 1_000
_AT_ONCE = 500  # rows removed in one transaction, so that nobody waits long
_MOST_TRIED = 100


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a run did.

    Attributes
    ----------
    seal : Seal or None
        None where no checkpoint is old enough.
    path : Path or None
        Its file.
    removed : int
        Rows that left the database, those of an interrupted run included.
    """

    seal: Seal | None
    path: Path | None
    removed: int


class Sealing:
    """Seals the audit of one store.

    Parameters
    ----------
    store : Store
        Opened with the role that owns the tables: the service's may not remove rows (R97).
    actor : Actor
        The operator.
    checkpoints : sequence of Checkpoint
        From the file outside the database, without faults.
    folder : Path
        Where files are written, and where that of an interrupted run lies.
    """

    def __init__(
        self, store: Store, actor: Actor, checkpoints: Sequence[Checkpoint], folder: Path, sign: Sign, check: Check
    ) -> None:
        self._store = store
        self._actor = actor
        self._checkpoints = in_force(checkpoints)
        self._signed = signed_heads(checkpoints)
        self._folder = folder
        self._sign = sign
        self._check = check

    def run(self, before: datetime) -> Sealed:
        """Seal up to the newest checkpoint that was made before a time, and remove what is sealed.

        Raises
        ------
        Denied
            This database role may not remove rows.
        Conflict
            The audit is not what was signed, a file is in the way or missing, or another run is under way.
        OSError
            The file cannot be written; nothing was changed.
        """
        self._may_remove()
        removed = self._finish()
        with self._store.read() as tx:
            seals = self._seals(tx.conn)
            seal = self._plan(tx.conn, seals, before)
            if seal is None:
                return Sealed(None, None, removed)
            line = seal.line(self._sign)
            path = self._write(tx.conn, seal, line)
        kill_point.reached("segment-written")
        with self._store.write(self._actor) as write:
            if self._seals(write.conn).lines != seals.lines:
                raise Conflict("another run sealed meanwhile", remedy="run this again")
            write.conn.execute(insert(tables.seals).values(number=seal.number, line=line))
            details = {"seal": seal.number, "rows": seal.rows, "until": seal.until, "file": path.name}
            write.audit("audit.sealed", details=details)
        kill_point.reached("sealed")
        return Sealed(seal, path, removed + self._remove())

    def _finish(self) -> int:
        # The file was there and good when its seal was made. It is looked at again: what follows cannot be taken back.
        with self._store.read() as tx:
            seals = self._seals(tx.conn)
            last = seals.last
            if last is None or not any(_interrupted(tx.conn, writer, seals) for writer in seals.writers()):
                return 0
        path = self._folder / file_name(last)
        try:
            self._compare(SegmentFile(path), last, seals.lines[-1])
        except FileNotFoundError:
            raise Conflict(
                f"the removal of what `{path.name}` holds was interrupted, and the file is not in `{self._folder}`",
                remedy="bring it there, or name its folder with --to",
            ) from None
        return self._remove()

    def _write(self, conn: Connection, seal: Seal, line: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = SegmentFile(self._folder / file_name(seal))
        try:
            file.write(conn, seal, line)
        except FileExistsError:
            pass  # of a run that was interrupted; compared like one that was just written
        except SegmentFault as fault:
            raise _unsound(str(fault)) from None
        self._compare(file, seal, line)
        return file.path

    def _compare(self, file: SegmentFile, seal: Seal, line: str) -> None:
        try:
            if file.line() != line:
                raise SegmentFault("it belongs to another seal")
            file.check(seal, self._signed)
        except SegmentFault as fault:
            raise Conflict(
                f"`{file.path}` does not hold what has to be sealed: {fault}",
                remedy="nothing was removed; move the file away, and find the reason with `aizen-hub audit verify`",
            ) from None

    def _remove(self) -> int:
        removed = 0
        with self._store.read() as tx:
            seals = self._seals(tx.conn)
        for writer in sorted(seals.writers()):
            while True:
                with self._store.write(self._actor) as write:
                    span = _left(write.conn, writer, seals)
                    if span is None:
                        break
                    first, last = span[0], min(span[1], span[0] + _AT_ONCE - 1)
                    where = (_audit.writer == writer, _audit.number >= first, _audit.number <= last)
                    removed += write.conn.execute(delete(tables.audit).where(*where)).rowcount
                kill_point.reached("removed")
        return removed

    def _seals(self, conn: Connection) -> Seals:
        seals = Seals.read(conn, self._check)
        if seals.faults:
            raise _unsound(seals.faults[0])
        return seals

    def _plan(self, conn: Connection, seals: Seals, before: datetime) -> Seal | None:
        old = [one for one in self._checkpoints if one.at < before]
        for count in range(len(old), max(0, len(old) - _MOST_TRIED), -1):
            heads = _heads(old[:count])
            parts = _parts(conn, heads, seals)
            if not parts:
                return None
            changes = _fold_changes(conn, heads, seals.last, old[count - 1].revision)
            if changes is not None:
                number = len(seals.seals) + 1
                newest = old[count - 1]
                return Seal(number, newest.at, newest.revision, changes, follows(seals.lines), parts)
        return None

    def _may_remove(self) -> None:
        database = self._store.database
        if database.embedded:
            return
        with self._store.read() as tx:
            query = "SELECT has_table_privilege('audit', 'DELETE') AND has_table_privilege('seals', 'INSERT')"
            if not tx.conn.exec_driver_sql(query).scalar():
                raise Denied(
                    "the service's own database role may not remove audit rows",
                    remedy="connect as the owner of the tables, with --url or AIZEN_OWNER_URL",
                )


def file_name(seal: Seal) -> str:
    """Return the name of a seal's file: another one for each place at which the audit could be cut."""
    return f"audit-{seal.number:04d}-{seal.until:%Y%m%dT%H%M%S.%fZ}.jsonl"


def _heads(checkpoints: Sequence[Checkpoint]) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    for checkpoint in checkpoints:
        for writer, head in checkpoint.heads.items():
            if writer not in heads or head.number > heads[writer].number:
                heads[writer] = head
    return heads


def _parts(conn: Connection, heads: Mapping[str, Head], seals: Seals) -> dict[str, Part]:
    parts = {}
    for writer, head in heads.items():
        last, previous = seals.boundary(writer)
        if head.number <= last:
            continue
        found = conn.scalar(select(_audit.hash).where(_audit.writer == writer, _audit.number == head.number))
        if found is None or bytes(found) != head.hash:
            raise _unsound(f"row {head.number} of {writer} is not the one that was signed")
        parts[writer] = Part(last + 1, head.number, previous, head.hash)
    return parts


def _fold_changes(conn: Connection, heads: Mapping[str, Head], last: Seal | None, revision: int) -> bytes | None:
    """Return the hash over all change records up to a revision; None if the cut does not fall between revisions.

    The heads come from one view of the store, so that normally exactly the records up to its revision have their rows
    before them. Several processes that write one checkpoint file may mix two views.
    """
    folded = NO_CHANGES if last is None else last.changes
    since = 0 if last is None else last.revision
    joined = tables.changes.outerjoin(tables.audit, _audit.id == _changes.audit_id)
    columns = (_changes.revision, _changes.payload, _changes.touches, _audit.writer, _audit.number, _audit.body)
    while True:
        query = select(*columns).select_from(joined).where(_changes.revision > since)
        page = conn.execute(query.order_by(_changes.revision).limit(_PAGE)).all()
        if not page:
            return folded
        for row in page:
            inside = row.number is not None and row.number <= heads.get(row.writer, Head(0, b"")).number
            if inside != (row.revision <= revision):
                return None
            if not inside:
                continue
            digest = record_hash(row.revision, row.payload, row.touches)
            if _stated(row.body) != digest:
                raise _unsound(f"the change record of revision {row.revision} is not the one that was audited")
            folded = fold(folded, [digest])
        since = page[-1].revision


def _stated(body: bytes) -> Any:
    try:
        return json.loads(bytes(body))["details"]["change"]
    except (ValueError, KeyError, TypeError):
        return None


def _left(conn: Connection, writer: str, seals: Seals) -> tuple[int, int] | None:
    """Return the numbers of the first and the last row to remove; the row that the chain goes on from stays."""
    query = select(func.min(_audit.number), func.max(_audit.number)).where(_audit.writer == writer)
    first, newest = conn.execute(query).one()
    if first is None:
        return None
    last = min(seals.boundary(writer)[0], newest - 1)
    return (first, last) if first <= last else None


def _interrupted(conn: Connection, writer: str, seals: Seals) -> bool:
    # The last sealed row alone may still be there because it was the newest then; it goes with the next seal.
    span = _left(conn, writer, seals)
    return span is not None and span[0] < seals.boundary(writer)[0]


def _unsound(why: str) -> Conflict:
    return Conflict(f"the audit is not as it was written: {why}", remedy="find out more with `aizen-hub audit verify`")
