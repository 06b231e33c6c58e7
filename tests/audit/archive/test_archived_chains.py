"""Chains, checkpoints and archive manifests after rows were archived, and concurrent runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.audit.archive import archiver
from aizen_hub.audit.archive.archive_file import ArchiveFile, ArchiveFileError
from aizen_hub.audit.archive.archiver import ArchiveResult
from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, Head
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.signing import checkpoint_signer, signature_check
from aizen_hub.audit.integrity.chain_verifier import Tampering, verify_chains
from aizen_hub.audit.integrity.rollback_detection import Rollback, detect_rollback
from aizen_hub.problems import Conflict
from aizen_hub.store import tables
from tests.audit.archive.test_archiver import AuditedInstallation, installation  # noqa: F401 - a fixture

FORGED = b"\x07" * 32


def read_checkpoints(installation: AuditedInstallation) -> list[Checkpoint]:  # noqa: F811
    with installation.store.read() as tx:
        good, faults = CheckpointFile(installation.settings.checkpoint_path).read(
            signature_check(installation.keys.list_keys(tx))
        )
    assert not faults
    return good


def with_manifests(installation: AuditedInstallation, operation: Callable[[Any, ArchiveManifests], Any]) -> Any:  # noqa: F811
    with installation.store.read() as tx:
        return operation(tx, ArchiveManifests.read(tx.conn, signature_check(installation.keys.list_keys(tx))))


def forge_heads(signed: list[Checkpoint], number: int) -> list[Checkpoint]:
    """Return the checkpoints with forged hashes for all rows of one number."""

    def heads(checkpoint: Checkpoint) -> dict[str, Head]:
        return {
            writer: Head(head.number, FORGED if head.number == number else head.hash)
            for writer, head in checkpoint.heads.items()
        }

    return [replace(checkpoint, heads=heads(checkpoint)) for checkpoint in signed]


@pytest.mark.proves("T-40", "R96")
def test_an_archived_database_is_not_a_rollback(installation: AuditedInstallation) -> None:  # noqa: F811
    """Some checkpoints end before the manifest, one at it, one after it."""

    def rollback(signed: list[Checkpoint]) -> Rollback | None:
        return with_manifests(
            installation, lambda tx, manifests: detect_rollback(tx.conn, tx.revision, manifests, signed)
        )

    first, second = read_checkpoints(installation)
    installation.archive(second.at)
    assert rollback([first, second]) is None
    installation.archive(second.at + timedelta(microseconds=1))
    installation.record_reads(2)
    installation.write_checkpoint()
    signed = read_checkpoints(installation)
    assert len(signed) == 3
    for known in (signed, [first, second], [first]):
        assert rollback(known) is None
    at_manifest = max(head.number for head in second.heads.values())
    found = rollback(forge_heads(signed[:2], at_manifest))
    assert found is not None
    assert "does not contain the audit" in found.sentence
    after = max(head.number for head in signed[-1].heads.values())
    assert rollback(forge_heads(signed, after)) is not None


@pytest.mark.proves("R95", "R96", "T-39")
def test_a_manifest_and_a_checkpoint_that_disagree_are_found(installation: AuditedInstallation) -> None:  # noqa: F811
    done = installation.archive().manifest
    assert done is not None
    (segment,) = [segment for segment in done.segments.values() if segment.last > 1]
    kinds = with_manifests(
        installation,
        lambda tx, manifests: {
            finding.kind
            for finding in verify_chains(
                tx.conn, forge_heads(read_checkpoints(installation), segment.last), manifests
            ).findings
        },
    )
    assert kinds == {Tampering.REWRITTEN}
    with pytest.raises(ArchiveFileError, match="is not the one that was signed"):
        ArchiveFile(installation.files()[0]).check(
            done, {writer: {segment.last: FORGED} for writer, segment in done.segments.items()}
        )
    segments = {writer: segment._replace(hash=FORGED) for writer, segment in done.segments.items()}
    with pytest.raises(ArchiveFileError, match="is not the one that was archived"):
        ArchiveFile(installation.files()[0]).check(replace(done, segments=segments), {})


@pytest.mark.proves("R95", "T-39")
def test_a_row_changed_after_it_was_archived_and_before_it_was_deleted_is_found(
    installation: AuditedInstallation,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archiver.Archiver, "_remove_archived", lambda self: 0)
    done = installation.archive().manifest
    assert done is not None
    last = max(segment.last for segment in done.segments.values())
    installation.tamper(f"UPDATE audit SET hash = previous WHERE number = {last}")
    assert "rewritten" in {finding.kind for finding in installation.audit().findings}
    findings = with_manifests(installation, lambda tx, manifests: verify_chains(tx.conn, (), manifests).findings)
    assert (Tampering.REWRITTEN, last) in {(finding.kind, finding.number) for finding in findings}


@pytest.mark.proves("R95", "T-39")
@pytest.mark.parametrize(
    "sql", ["DELETE FROM archive_manifests WHERE number = 1", "UPDATE archive_manifests SET number = number + 1"]
)
def test_a_missing_manifest_is_found(installation: AuditedInstallation, sql: str) -> None:  # noqa: F811
    first, _ = read_checkpoints(installation)
    installation.archive(first.at + timedelta(microseconds=1))
    assert installation.archive().manifest is not None
    if "+ 1" in sql:
        installation.tamper("UPDATE archive_manifests SET number = number + 10")
        sql = "UPDATE archive_manifests SET number = number - 9"
    installation.tamper(sql)
    findings = installation.audit().findings
    assert any(finding.kind == "manifest" and "does not continue" in finding.sentence for finding in findings), findings
    with pytest.raises(Conflict, match="does not continue"):
        installation.archive()


@pytest.mark.proves("R95", "T-39")
def test_a_manifest_with_another_predecessor_is_found(installation: AuditedInstallation) -> None:  # noqa: F811
    """Signed with a valid key, but in another sequence, for example by a database that was rolled back."""
    first, _ = read_checkpoints(installation)
    installation.archive(first.at + timedelta(microseconds=1))
    second = installation.archive().manifest
    assert second is not None
    with installation.store.read() as tx:
        line = replace(second, previous="0" * 64).to_signed_json(checkpoint_signer(installation.keys.ring(tx)))
    with installation.store.database.engine.connect() as conn:
        conn.execute(
            tables.archive_manifests.update().where(tables.archive_manifests.c.number == 2).values(signed_json=line)
        )
    assert any(
        finding.kind == "manifest" and "does not continue" in finding.sentence
        for finding in installation.audit().findings
    )


def test_a_run_stops_if_another_one_was_faster(
    installation: AuditedInstallation,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results: list[ArchiveResult | None] = []

    def archive_meanwhile(point: str) -> None:
        if point == "archive-written" and not results:
            results.append(None)  # the second run must not start a third one
            results[0] = installation.archive()

    monkeypatch.setattr(archiver, "failpoint", archive_meanwhile)
    with pytest.raises(Conflict, match="another run archived rows in the meantime"):
        installation.archive()
    assert results[0] is not None
    assert results[0].manifest is not None, "it uses the file of the first run"
    assert len(installation.files()) == 1
    assert installation.audit(*installation.files()).findings == ()


@pytest.mark.proves("T-38", "T-39")
def test_a_change_record_that_was_tampered_with_is_not_archived(installation: AuditedInstallation) -> None:  # noqa: F811
    installation.tamper("UPDATE changes SET payload = '[]' WHERE revision = 3")
    rows = installation.count_rows()
    with pytest.raises(Conflict, match="change record of revision 3"):
        installation.archive()
    assert installation.count_rows() == rows
    assert installation.files() == []


@pytest.mark.parametrize(
    "line", [b'{"body":{},"hash":"xx","number":1,"writer":"main"}', b'{"body":{},"hash":"00","number":1,"writer":7}']
)
def test_an_invalid_line_is_reported(installation: AuditedInstallation, line: bytes) -> None:  # noqa: F811
    done = installation.archive().manifest
    assert done is not None
    lines = installation.files()[0].read_bytes().splitlines()
    installation.files()[0].write_bytes(b"\n".join([lines[0], line, *lines[2:]]) + b"\n")
    with pytest.raises(ArchiveFileError, match="line 2 is not a row"):
        ArchiveFile(installation.files()[0]).check(done, {})


def test_an_incomplete_first_line_is_reported(installation: AuditedInstallation) -> None:  # noqa: F811
    installation.archive()
    installation.files()[0].write_bytes(b'{"content":')
    assert [finding.sentence for finding in installation.audit(installation.files()[0]).findings] == [
        "line 1 is incomplete or too long"
    ]
