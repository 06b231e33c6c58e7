"""Audit retention: the oldest rows of every chain are moved to a signed archive file.

Rows are deleted only after their file was written, read back and compared, and after the manifest, the boundary at
which the rest begins, is in the database together with an audit record about it. A crash at any point loses nothing:
the next run archives what was not archived yet, and deletes what was not deleted yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select

from aizen_hub.audit.archive.archive_file import ArchiveFile, ArchiveFileError
from aizen_hub.audit.archive.manifest import (
    INITIAL_STATE,
    ArchiveManifest,
    ArchiveManifests,
    ChainSegment,
    fold_state,
    previous_hash,
)
from aizen_hub.audit.archive.storage import ArchiveStorage
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, Head, valid_checkpoints
from aizen_hub.audit.checkpoints.heads import signed_heads
from aizen_hub.audit.checkpoints.signed_json import SignatureCheck, Signer
from aizen_hub.problems import Conflict, Denied, NotFound
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.change_records import change_hash
from aizen_hub.store.audit_log.record import recorded_change_hash
from aizen_hub.store.failpoints import failpoint
from aizen_hub.store.sql_store import Store

_audit, _changes = tables.audit.c, tables.changes.c
_PAGE = 1_000
_ROWS_PER_TRANSACTION = 500  # rows deleted in one transaction, so that other writers do not wait long
_MAX_CHECKPOINTS_TRIED = 100


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """The result of a run.

    Attributes
    ----------
    manifest : ArchiveManifest or None
        None if no checkpoint is old enough.
    location : str or None
        Path or URL of the archive file.
    removed : int
        Rows deleted from the database, including those of an interrupted run.
    """

    manifest: ArchiveManifest | None
    location: str | None
    removed: int


class Archiver:
    """Archives the audit of one store.

    Parameters
    ----------
    store : Store
        Opened with the role that owns the tables: the service's own role may not delete rows (R97).
    actor : Actor
        The operator.
    checkpoints : sequence of Checkpoint
        From the file outside the database, without faults.
    storage : ArchiveStorage
        Where files are kept, and where the file of an interrupted run is.
    """

    def __init__(
        self,
        store: Store,
        actor: Actor,
        checkpoints: Sequence[Checkpoint],
        storage: ArchiveStorage,
        sign: Signer,
        check: SignatureCheck,
    ) -> None:
        self._store = store
        self._actor = actor
        self._checkpoints = valid_checkpoints(checkpoints)
        self._signed = signed_heads(checkpoints)
        self._storage = storage
        self._sign = sign
        self._check = check

    def run(self, before: datetime) -> ArchiveResult:
        """Archive up to the newest checkpoint made before a time, and delete the archived rows.

        Raises
        ------
        Denied
            This database role may not delete rows.
        Conflict
            The audit is not what was signed, a file is in the way or missing, or another run is in progress.
        Unavailable
            The storage cannot be reached, or refuses; nothing was changed.
        OSError
            The file cannot be written; nothing was changed.
        """
        self._require_may_remove()
        removed = self._resume_removal()
        with self._storage.staging() as folder:
            with self._store.read() as tx:
                manifests = self._read_manifests(tx.conn)
                manifest = self._plan_manifest(tx.conn, manifests, before)
                if manifest is None:
                    return ArchiveResult(None, None, removed)
                line = manifest.to_signed_json(self._sign)
                path = self._write_file(tx.conn, folder, manifest, line)
            location = self._storage.keep(path)
        failpoint("archive-written")
        with self._store.write(self._actor) as write:
            if self._read_manifests(write.conn).lines != manifests.lines:
                raise Conflict("another run archived rows in the meantime", remedy="run this again")
            write.conn.execute(insert(tables.archive_manifests).values(number=manifest.number, signed_json=line))
            details = {"manifest": manifest.number, "rows": manifest.rows, "until": manifest.until, "file": path.name}
            write.audit("audit.archived", details=details)
        failpoint("archived")
        return ArchiveResult(manifest, location, removed + self._remove_archived())

    def _resume_removal(self) -> int:
        # The file was checked when its manifest was stored. It is checked again, since deleting rows cannot be undone.
        with self._store.read() as tx:
            manifests = self._read_manifests(tx.conn)
            newest = manifests.newest
            if newest is None or not any(
                _removal_was_interrupted(tx.conn, writer, manifests) for writer in manifests.writers()
            ):
                return 0
        name = archive_file_name(newest)
        try:
            with self._storage.fetch(name) as path:
                self._check_file(ArchiveFile(path), newest, manifests.lines[-1], self._storage.locate(name))
        except NotFound:
            raise Conflict(
                f"an earlier run that archived rows to `{name}` was interrupted before it deleted them,"
                f" and the file is not in `{self._storage}`",
                remedy="move it there, or name where it is with --to",
            ) from None
        return self._remove_archived()

    def _write_file(self, conn: Connection, folder: Path, manifest: ArchiveManifest, line: str) -> Path:
        file = ArchiveFile(folder / archive_file_name(manifest))
        try:
            file.write(conn, manifest, line)
        except FileExistsError:
            pass  # left by an interrupted run; checked like one just written
        except ArchiveFileError as error:
            raise _audit_conflict(str(error)) from None
        self._check_file(file, manifest, line, str(file.path))
        return file.path

    def _check_file(self, file: ArchiveFile, manifest: ArchiveManifest, line: str, location: str) -> None:
        try:
            if file.read_manifest_line() != line:
                raise ArchiveFileError("it belongs to another manifest")
            file.check(manifest, self._signed)
        except ArchiveFileError as error:
            raise Conflict(
                f"`{location}` does not hold the rows to archive: {error}",
                remedy="nothing was deleted; move the file away, and find the reason with `aizen-hub audit verify`",
            ) from None

    def _remove_archived(self) -> int:
        removed = 0
        with self._store.read() as tx:
            manifests = self._read_manifests(tx.conn)
        for writer in sorted(manifests.writers()):
            while True:
                with self._store.write(self._actor) as write:
                    span = _rows_to_remove(write.conn, writer, manifests)
                    if span is None:
                        break
                    first, last = span[0], min(span[1], span[0] + _ROWS_PER_TRANSACTION - 1)
                    conditions = (_audit.writer == writer, _audit.number >= first, _audit.number <= last)
                    removed += write.conn.execute(delete(tables.audit).where(*conditions)).rowcount
                failpoint("removed")
        return removed

    def _read_manifests(self, conn: Connection) -> ArchiveManifests:
        manifests = ArchiveManifests.read(conn, self._check)
        if manifests.faults:
            raise _audit_conflict(manifests.faults[0])
        return manifests

    def _plan_manifest(self, conn: Connection, manifests: ArchiveManifests, before: datetime) -> ArchiveManifest | None:
        old = [checkpoint for checkpoint in self._checkpoints if checkpoint.at < before]
        for count in range(len(old), max(0, len(old) - _MAX_CHECKPOINTS_TRIED), -1):
            heads = _newest_heads(old[:count])
            segments = _segments_up_to(conn, heads, manifests)
            if not segments:
                return None
            end = old[count - 1]
            state_hash = _fold_changes(conn, heads, manifests.newest, end.revision)
            if state_hash is not None:
                number, previous = len(manifests.manifests) + 1, previous_hash(manifests.lines)
                return ArchiveManifest(number, end.at, end.revision, state_hash, previous, segments)
        return None

    def _require_may_remove(self) -> None:
        if self._store.database.embedded:
            return
        with self._store.read() as tx:
            query = (
                "SELECT has_table_privilege('audit', 'DELETE') AND has_table_privilege('archive_manifests', 'INSERT')"
            )
            if not tx.conn.exec_driver_sql(query).scalar():
                raise Denied(
                    "the service's own database role may not delete audit rows",
                    remedy="connect as the owner of the tables, with --url or AIZEN_OWNER_URL",
                )


def archive_file_name(manifest: ArchiveManifest) -> str:
    """Return the name of a manifest's file, which differs for every boundary."""
    return f"audit-{manifest.number:04d}-{manifest.until:%Y%m%dT%H%M%S.%fZ}.jsonl"


def _newest_heads(checkpoints: Sequence[Checkpoint]) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    for checkpoint in checkpoints:
        for writer, head in checkpoint.heads.items():
            if writer not in heads or head.number > heads[writer].number:
                heads[writer] = head
    return heads


def _segments_up_to(
    conn: Connection, heads: Mapping[str, Head], manifests: ArchiveManifests
) -> dict[str, ChainSegment]:
    segments = {}
    for writer, head in heads.items():
        last, previous = manifests.archived_head(writer)
        if head.number <= last:
            continue
        digest = conn.scalar(select(_audit.hash).where(_audit.writer == writer, _audit.number == head.number))
        if digest is None or bytes(digest) != head.hash:
            raise _audit_conflict(f"row {head.number} of {writer} is not the one that was signed")
        segments[writer] = ChainSegment(last + 1, head.number, previous, head.hash)
    return segments


def _fold_changes(
    conn: Connection, heads: Mapping[str, Head], previous: ArchiveManifest | None, revision: int
) -> bytes | None:
    """Return the hash over all change records up to a revision; None if the heads do not end between two revisions.

    The heads of a checkpoint come from one snapshot, so normally they include the audit rows of exactly the change
    records up to its revision. Several processes that write the same checkpoint file may mix two snapshots.
    """
    state_hash = INITIAL_STATE if previous is None else previous.state_hash
    last = 0 if previous is None else previous.revision
    joined = tables.changes.outerjoin(tables.audit, _audit.id == _changes.audit_id)
    columns = (_changes.revision, _changes.payload, _changes.invalidates, _audit.writer, _audit.number, _audit.body)
    while True:
        query = select(*columns).select_from(joined).where(_changes.revision > last)
        page = conn.execute(query.order_by(_changes.revision).limit(_PAGE)).all()
        if not page:
            return state_hash
        for row in page:
            is_included = row.number is not None and row.number <= heads.get(row.writer, Head(0, b"")).number
            if is_included != (row.revision <= revision):
                return None
            if not is_included:
                continue
            digest = change_hash(row.revision, row.payload, row.invalidates)
            if recorded_change_hash(row.body) != digest:
                raise _audit_conflict(f"the change record of revision {row.revision} is not the one that was audited")
            state_hash = fold_state(state_hash, [digest])
        last = page[-1].revision


def _rows_to_remove(conn: Connection, writer: str, manifests: ArchiveManifests) -> tuple[int, int] | None:
    """Return the numbers of the first and the last row to delete; the head of the chain is kept."""
    query = select(func.min(_audit.number), func.max(_audit.number)).where(_audit.writer == writer)
    first, head = conn.execute(query).one()
    if first is None:
        return None
    last = min(manifests.archived_head(writer)[0], head - 1)
    return (first, last) if first <= last else None


def _removal_was_interrupted(conn: Connection, writer: str, manifests: ArchiveManifests) -> bool:
    # The last archived row alone may remain because it was the head then; the next run deletes it.
    span = _rows_to_remove(conn, writer, manifests)
    return span is not None and span[0] < manifests.archived_head(writer)[0]


def _audit_conflict(reason: str) -> Conflict:
    return Conflict(
        f"the audit is not as it was written: {reason}", remedy="find out more with `aizen-hub audit verify`"
    )
