"""Verification of the hash chains: reads every chain and reports where it was tampered with (R95, R96)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, Head, valid_checkpoints
from aizen_hub.audit.checkpoints.heads import list_writers, signed_heads
from aizen_hub.audit.integrity.stored_values import any_text, stored_columns
from aizen_hub.store import tables
from aizen_hub.store.audit_log.hash_chain import row_hash

MAX_FINDINGS = 1_000
_PAGE = 2_000
_audit = tables.audit.c
_STORED = stored_columns(*_audit)
_BYTES = (bytes, memoryview)  # a driver may return either


class Tampering(StrEnum):
    """Kinds of tampering with the audit."""

    DELETED = "deleted"  # rows are missing in the middle or at the beginning
    CHANGED = "changed"  # a row's content does not match its hash, or its columns do not match its content
    RELINKED = "relinked"  # a row does not follow the previous one: inserted, moved, or the previous one was replaced
    REWRITTEN = "rewritten"  # the chain is consistent, but not the one that was signed
    TRUNCATED = "truncated"  # the end that was signed is missing
    MANIFEST = "manifest"  # an archive manifest is not what was signed, or one is missing
    ROLLED_BACK = "rolled-back"  # the whole database is older than what was signed (T-40)


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """One case of tampering: ``number`` is the first affected row of ``writer``."""

    kind: Tampering
    writer: str
    number: int
    sentence: str


@dataclass(slots=True)
class ChainReport:
    """The result of a verification."""

    rows: int = 0
    heads: dict[str, Head] = field(default_factory=dict)
    findings: list[ChainFinding] = field(default_factory=list)
    checkpoints: int = 0

    @property
    def is_intact(self) -> bool:
        return not self.findings

    def _add(self, kind: Tampering, writer: str, number: int, sentence: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(ChainFinding(kind, writer, number, sentence))


def verify_chains(
    conn: Connection, checkpoints: Sequence[Checkpoint] = (), manifests: ArchiveManifests | None = None
) -> ChainReport:
    """Check every row of every writer that is in the database, and the chains against the checkpoints.

    Parameters
    ----------
    conn : Connection
        In a transaction with one snapshot.
    checkpoints : sequence of Checkpoint
        As `CheckpointFile.read` returns them, with verified signatures, oldest first.
    manifests : ArchiveManifests, optional
        Say where the chains begin; read in the same transaction. Without them every chain begins with its first row.

    Returns
    -------
    ChainReport
        At most `MAX_FINDINGS` findings, in the order of writer and number.
    """
    manifests = manifests or ArchiveManifests()
    report = ChainReport(checkpoints=len(checkpoints))
    for fault in manifests.faults:
        report._add(Tampering.MANIFEST, "", 0, fault)
    signed = signed_heads(checkpoints)
    writers = {*list_writers(conn), *signed, *manifests.writers()}
    for name in writers:
        if not isinstance(name, str):
            report._add(Tampering.CHANGED, repr(name)[:80], 0, "the column `writer` of these rows is not text")
    with any_text(conn):
        for writer in sorted(name for name in writers if isinstance(name, str)):
            _verify_writer(conn, writer, signed.get(writer, {}), manifests.archived_head(writer), report)
    newest = max((checkpoint.revision for checkpoint in valid_checkpoints(checkpoints)), default=0)
    present: int | None = conn.execute(select(tables.revision.c.value)).scalar()
    if (present or 0) < newest:
        sentence = f"the store has revision {present}, but revision {newest} was signed"
        report._add(Tampering.ROLLED_BACK, "", 0, sentence)
    return report


def _verify_writer(
    conn: Connection, writer: str, signed: Mapping[int, bytes], archived_head: tuple[int, bytes], report: ChainReport
) -> None:
    archived, archived_hash = archived_head
    number: int = archived_head[0]
    previous: bytes | None = archived_head[1]  # None after a row whose hash is not bytes
    last_good = archived  # the last row that equals what was signed
    rewritten, empty = False, True
    if signed.get(archived, archived_hash) != archived_hash:
        report._add(Tampering.REWRITTEN, writer, archived, f"row {archived} was not archived as it was signed")
    for row in _read_rows(conn, writer):
        report.rows += 1
        if not isinstance(row.number, int) or row.number < 1:
            report._add(
                Tampering.CHANGED, writer, number, f"after row {number} is a row with the number {row.number!r}"
            )
            continue
        if empty and row.number <= archived:
            # The last archived row, or rows whose removal was interrupted: they must end at the manifest's hash.
            number, previous = row.number - 1, _as_bytes(row.previous)
        empty = False
        if row.number != number + 1:
            missing = (
                f"row {number + 1} is" if row.number == number + 2 else f"rows {number + 1} to {row.number - 1} are"
            )
            report._add(Tampering.DELETED, writer, number + 1, f"{missing} missing")
        elif previous is not None and _as_bytes(row.previous) not in (previous, None):
            report._add(Tampering.RELINKED, writer, row.number, f"row {row.number} does not follow row {number}")
        wrong_type = next(
            (name for name in ("body", "previous", "hash") if not isinstance(row._mapping[name], _BYTES)), None
        )
        if wrong_type is not None:
            sentence = (
                f"the column `{wrong_type}` of row {row.number} does not contain bytes, which is all that is written"
            )
            report._add(Tampering.CHANGED, writer, row.number, sentence)
        elif row_hash(bytes(row.previous), writer, row.number, bytes(row.body)) != bytes(row.hash):
            report._add(Tampering.CHANGED, writer, row.number, f"row {row.number} does not match its hash")
        else:
            column = _find_wrong_column(row)
            if column:
                sentence = f"the column `{column}` of row {row.number} does not match the row's content"
                report._add(Tampering.CHANGED, writer, row.number, sentence)
        number, previous = row.number, _as_bytes(row.hash)
        if number == archived and previous != archived_hash:
            report._add(Tampering.REWRITTEN, writer, number, f"row {number} is not the one that was archived")
        if number in signed and not rewritten:
            if signed[number] == previous:
                last_good = number
            else:
                rewritten = True
                sentence = f"between row {last_good + 1} and row {number} the chain is not the one that was signed"
                report._add(Tampering.REWRITTEN, writer, last_good + 1, sentence)
    if number and previous is not None:
        report.heads[writer] = Head(number, previous)
    last = max(signed, default=0)
    if last > number:
        sentence = f"rows {number + 1} to {last} or more are missing at the end; rows after {last_good} are not signed"
        report._add(Tampering.TRUNCATED, writer, number + 1, sentence)
    elif archived and (empty or number < archived):
        report._add(Tampering.TRUNCATED, writer, archived, f"row {archived}, which the chain continues, is missing")


def _read_rows(conn: Connection, writer: str) -> Iterator[Row[Any]]:
    query = select(*_STORED).where(_audit.writer == writer).order_by(_audit.number).limit(_PAGE)
    page = conn.execute(query).all()
    while page:
        yield from page
        page = conn.execute(query.where(_audit.number > page[-1].number)).all()


def _as_bytes(value: object) -> bytes | None:
    return bytes(value) if isinstance(value, _BYTES) else None


def _find_wrong_column(row: Row[Any]) -> str | None:
    try:
        body = json.loads(bytes(row.body))
        columns = {
            "id": row.id,
            "at": row.at,
            "event": row.event,
            "identity": row.identity,
            "project": row.project,
        }
        return next((name for name, value in columns.items() if body.get(name) != value), None)
    except (ValueError, AttributeError, RecursionError):
        return "body"
