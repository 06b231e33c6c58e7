"""The auditor: reads every chain from where it begins and says where it was tampered with (R95, R96)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, select

from aizen_hub.audit.archive.manifest import Seals
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, Head, in_force
from aizen_hub.store import tables
from aizen_hub.store.audit_log.hash_chain import link
from aizen_hub.store.timestamps import to_microseconds

MAX_FINDINGS = 1_000
_PAGE = 2_000
_audit = tables.audit.c


class Tampering(StrEnum):
    DELETED = "deleted"  # rows are missing in the middle or at the beginning
    CHANGED = "changed"  # a row's content does not fit its hash, or its columns do not fit its content
    RELINKED = "relinked"  # a row does not follow the one before it: inserted, moved, or the former was replaced
    REWRITTEN = "rewritten"  # the chain fits, but it is not the one that was signed
    TRUNCATED = "truncated"  # the end that was signed is gone
    SEAL = "seal"  # a seal is not what was signed, or not all of them are there
    ROLLED_BACK = "rolled-back"  # the whole database is older than what was signed (T-40)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that was tampered with: ``number`` is the first row of ``writer`` that is not as it was."""

    kind: Tampering
    writer: str
    number: int
    sentence: str


@dataclass(slots=True)
class Report:
    """What the auditor saw; ``sound`` if nothing was found."""

    rows: int = 0
    heads: dict[str, Head] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    checkpoints: int = 0

    @property
    def sound(self) -> bool:
        return not self.findings

    def _found(self, kind: Tampering, writer: str, number: int, sentence: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(kind, writer, number, sentence))


def writers(conn: Connection) -> Iterator[str]:
    """Return all writers, by one look-up each, not by reading all rows."""
    name = conn.execute(select(func.min(_audit.writer))).scalar()
    while name is not None:
        yield name
        name = conn.execute(select(func.min(_audit.writer)).where(_audit.writer > name)).scalar()


def heads(conn: Connection) -> Mapping[str, Head]:
    """Return the last row of every writer: what a checkpoint signs."""
    out = {}
    for writer in writers(conn):
        query = select(_audit.number, _audit.hash).where(_audit.writer == writer)
        row = conn.execute(query.order_by(_audit.number.desc()).limit(1)).one()
        out[writer] = Head(row.number, bytes(row.hash))
    return out


def verify(conn: Connection, checkpoints: Sequence[Checkpoint] = (), seals: Seals | None = None) -> Report:
    """Check every row of every writer that is in the database, and the chains against what was signed.

    Parameters
    ----------
    conn : Connection
        Inside a transaction that shows one moment.
    checkpoints : sequence of Checkpoint
        Read and their signatures checked by `checkpoint.CheckpointFile`, oldest first.
    seals : Seals, optional
        Where the chains begin, read from the same transaction; the beginning of all without.

    Returns
    -------
    Report
        At most `MAX_FINDINGS` findings, in the order of writer and number.
    """
    seals = seals or Seals()
    report = Report(checkpoints=len(checkpoints))
    for fault in seals.faults:
        report._found(Tampering.SEAL, "", 0, fault)
    signed = signed_heads(checkpoints)
    for writer in sorted({*writers(conn), *signed, *seals.writers()}):
        _verify_writer(conn, writer, signed.get(writer, {}), seals.boundary(writer), report)
    newest = max((one.revision for one in in_force(checkpoints)), default=0)
    present: int | None = conn.execute(select(tables.revision.c.value)).scalar()
    if (present or 0) < newest:
        sentence = f"the store shows revision {present}, but revision {newest} was signed"
        report._found(Tampering.ROLLED_BACK, "", 0, sentence)
    return report


def signed_heads(checkpoints: Sequence[Checkpoint]) -> dict[str, dict[int, bytes]]:
    """Return the hashes that count, by writer and number."""
    out: dict[str, dict[int, bytes]] = {}
    for checkpoint in in_force(checkpoints):
        for writer, head in checkpoint.heads.items():
            out.setdefault(writer, {})[head.number] = head.hash
    return out


def _verify_writer(
    conn: Connection, writer: str, signed: Mapping[int, bytes], boundary: tuple[int, bytes], report: Report
) -> None:
    sealed, end = boundary
    number, previous = boundary
    good = sealed  # the last row that equals what was signed
    rewritten, empty = False, True
    if signed.get(sealed, end) != end:
        report._found(Tampering.REWRITTEN, writer, sealed, f"row {sealed} was signed otherwise than it was sealed")
    for row in _rows(conn, writer):
        report.rows += 1
        if empty and row.number <= sealed:
            # The row that the chain goes on from, or rows whose removal was interrupted: they must end at the seal.
            number, previous = row.number - 1, bytes(row.previous)
        empty = False
        if row.number != number + 1:
            missing = (
                f"row {number + 1} is" if row.number == number + 2 else f"rows {number + 1} to {row.number - 1} are"
            )
            report._found(Tampering.DELETED, writer, number + 1, f"{missing} missing")
        elif bytes(row.previous) != previous:
            report._found(Tampering.RELINKED, writer, row.number, f"row {row.number} does not follow row {number}")
        if link(bytes(row.previous), writer, row.number, bytes(row.body)) != bytes(row.hash):
            report._found(Tampering.CHANGED, writer, row.number, f"row {row.number} does not fit its hash")
        else:
            column = _wrong_column(row)
            if column:
                sentence = f"the column `{column}` of row {row.number} is not what the row says"
                report._found(Tampering.CHANGED, writer, row.number, sentence)
        number, previous = row.number, bytes(row.hash)
        if number == sealed and previous != end:
            report._found(Tampering.REWRITTEN, writer, number, f"row {number} is not the one that was sealed")
        if number in signed and not rewritten:
            if signed[number] == previous:
                good = number
            else:
                rewritten = True
                sentence = f"between row {good + 1} and row {number} the chain is not the one that was signed"
                report._found(Tampering.REWRITTEN, writer, good + 1, sentence)
    if number:
        report.heads[writer] = Head(number, previous)
    last = max(signed, default=0)
    if last > number:
        sentence = f"rows {number + 1} to {last} at least are cut off; nothing after row {good} is vouched for"
        report._found(Tampering.TRUNCATED, writer, number + 1, sentence)
    elif sealed and (empty or number < sealed):
        report._found(Tampering.TRUNCATED, writer, sealed, f"row {sealed}, from which the chain goes on, is cut off")


def _rows(conn: Connection, writer: str) -> Iterator[Row[Any]]:
    last = -1
    while True:
        query = select(tables.audit).where(_audit.writer == writer, _audit.number > last)
        page = conn.execute(query.order_by(_audit.number).limit(_PAGE)).all()
        if not page:
            return
        yield from page
        last = page[-1].number


def _wrong_column(row: Row[Any]) -> str | None:
    try:
        body = json.loads(bytes(row.body))
        columns = {
            "id": row.id,
            "at": to_microseconds(row.at),
            "event": row.event,
            "identity": row.identity,
            "project": row.project,
        }
        return next((name for name, value in columns.items() if body.get(name) != value), None)
    except (ValueError, AttributeError):
        return "body"
