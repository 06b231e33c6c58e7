"""One complete audit: checkpoints, archive manifests and files, hash chains, and the store against its changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from aizen_hub.audit.archive.archive_file import ArchiveFile, ArchiveFileError
from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFault
from aizen_hub.audit.checkpoints.heads import signed_heads
from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.audit.integrity.state_comparison import compare_state
from aizen_hub.tokens.keys import SigningKey


class Finding(NamedTuple):
    """One finding: its location, its kind, and a sentence."""

    location: str
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit.

    Attributes
    ----------
    rows, checkpoints : int
        Number checked.
    archived_rows, unread_rows : int
        Number of archived rows, and of those among them whose files were not given.
    findings : tuple of Finding
        Empty if nothing was tampered with.
    """

    rows: int
    checkpoints: int
    archived_rows: int
    unread_rows: int
    findings: tuple[Finding, ...]


def run_audit(
    conn: Connection,
    log: tuple[Sequence[Checkpoint], Sequence[CheckpointFault]],
    keys: Iterable[SigningKey],
    files: Sequence[Path] = (),
) -> AuditReport:
    """Audit one snapshot of the store, and the files outside of it.

    Parameters
    ----------
    conn : Connection
        In a transaction with one snapshot.
    log : tuple of checkpoints and faults
        From `CheckpointLog.read`, before the snapshot was made: it must contain what they signed.
    keys : iterable of SigningKey
        All keys of the store.
    files : sequence of Path
        Archive files; each must begin with a manifest of this database.
    """
    check = signature_check(keys)
    checkpoints, faults = log
    signed = signed_heads(checkpoints)
    manifests = ArchiveManifests.read(conn, check)
    findings = [Finding(f"checkpoint line {fault.line}", "checkpoint", fault.sentence) for fault in faults]
    manifest_of = dict(zip(manifests.lines, manifests.manifests, strict=True))
    rows, change_hashes = dict[int, int](), dict[str, str]()
    for path in files:
        file = ArchiveFile(path)
        try:
            manifest = manifest_of.get(file.read_manifest_line())
            if manifest is None:
                raise ArchiveFileError("it does not begin with an archive manifest of this database")
            contents = file.check(manifest, signed)
        except ArchiveFileError as error:
            findings.append(Finding(path.name, "archive", str(error)))
        else:
            rows[manifest.number] = contents.rows
            change_hashes |= contents.change_hashes
    report = verify_chains(conn, checkpoints, manifests)
    for finding in report.findings:
        location = f"{finding.writer} row {finding.number}" if finding.writer else "store"
        findings.append(Finding(location, finding.kind.value, finding.sentence))
    differences = compare_state(conn, manifests, change_hashes)
    findings += [Finding("store", difference.kind, difference.sentence) for difference in differences]
    read = sum(rows.values())
    return AuditReport(report.rows + read, len(checkpoints), manifests.rows, manifests.rows - read, tuple(findings))
