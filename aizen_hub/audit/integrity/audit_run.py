"""One whole examination: checkpoints, seals, files of sealed rows, chains, and the store against its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from aizen_hub.audit.archive.archive_file import SegmentFault, SegmentFile
from aizen_hub.audit.archive.manifest import Seals
from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile
from aizen_hub.audit.checkpoints.signing import checker
from aizen_hub.audit.integrity.chain_verifier import signed_heads, verify
from aizen_hub.audit.integrity.state_comparison import compare
from aizen_hub.tokens.keys import SigningKey


class Place(NamedTuple):
    """One finding: where, of which kind, and a sentence."""

    place: str
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen.

    Attributes
    ----------
    rows, checkpoints : int
        Checked.
    sealed, unread : int
        Rows that are sealed, and those of them whose files were not given.
    findings : tuple of Place
        Empty if nothing was touched.
    """

    rows: int
    checkpoints: int
    sealed: int
    unread: int
    findings: tuple[Place, ...]


def examine(
    conn: Connection, checkpoint_path: Path, keys: Iterable[SigningKey], files: Sequence[Path] = ()
) -> Examination:
    """Examine everything that one view of the store shows, and the files outside of it.

    Parameters
    ----------
    conn : Connection
        Inside a transaction that shows one moment.
    keys : iterable of SigningKey
        All keys of the store.
    files : sequence of Path
        Of sealed rows; each must begin with a seal of this database.
    """
    check = checker(keys)
    checkpoints, faults = CheckpointFile(checkpoint_path).read(check)
    signed = signed_heads(checkpoints)
    seals = Seals.read(conn, check)
    found = [Place(f"checkpoint line {one.line}", "checkpoint", one.sentence) for one in faults]
    seal_of = dict(zip(seals.lines, seals.seals, strict=True))
    rows, changes = dict[int, int](), dict[str, str]()
    for path in files:
        try:
            seal = seal_of.get(SegmentFile(path).line())
            if seal is None:
                raise SegmentFault("it does not begin with a seal of this database")
            contents = SegmentFile(path).check(seal, signed)
        except SegmentFault as fault:
            found.append(Place(path.name, "segment", str(fault)))
        else:
            rows[seal.number] = contents.rows
            changes |= contents.changes
    report = verify(conn, checkpoints, seals)
    for one in report.findings:
        place = f"{one.writer} row {one.number}" if one.writer else "store"
        found.append(Place(place, one.kind.value, one.sentence))
    found += [Place("store", one.what, one.sentence) for one in compare(conn, seals, changes)]
    read = sum(rows.values())
    return Examination(report.rows + read, len(checkpoints), seals.rows, seals.rows - read, tuple(found))
