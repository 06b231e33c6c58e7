"""Archiving: the oldest rows are moved to a signed file, and the whole audit can still be verified (R95, R97, T-38)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.audit.archive.archiver import Archiver, ArchiveResult
from aizen_hub.audit.archive.manifest import ArchiveManifests
from aizen_hub.audit.archive.storage import open_storage
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signing import checkpoint_signer, signature_check
from aizen_hub.audit.integrity.audit_run import AuditReport, run_audit
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Conflict, Denied
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import failpoints, migrate, tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.fixtures.databases.sqlite import create_database_file

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
ADA, BEN = Identity.user("ada"), Identity.user("ben")


@dataclass
class AuditedInstallation:
    """An installation with a database, its keys, a checkpoint file, and a folder or a URL for archive files."""

    settings: Settings
    store: Store
    keys: KeyStore
    folder: Path
    url: str | None = None

    @classmethod
    def open(cls, settings: Settings) -> AuditedInstallation:
        store = Store.open(settings, load_catalog("aizen"))
        return cls(settings, store, KeyStore.open(settings, store), settings.data_dir / "archive")

    def record_reads(self, times: int) -> None:
        for number in range(times):
            with self.store.read() as tx:
                now = tx.now
            self.store.append_audit(
                [make_audit_record(OPERATOR, "looked", now, number=number, project=f"p{number % 3}")]
            )

    def write_checkpoint(self) -> None:
        with self.store.read() as tx:
            heads, revision, now, ring = chain_heads(tx.conn), tx.revision, tx.now, self.keys.ring(tx)
        assert CheckpointFile(self.settings.checkpoint_path).append(heads, revision, now, checkpoint_signer(ring))

    def make_archiver(self) -> Archiver:
        with self.store.read() as tx:
            keys, ring = self.keys.list_keys(tx), self.keys.ring(tx)
        checkpoints, faults = CheckpointFile(self.settings.checkpoint_path).read(signature_check(keys))
        assert not faults
        place = open_storage(self.url or str(self.folder))
        return Archiver(self.store, OPERATOR, checkpoints, place, checkpoint_signer(ring), signature_check(keys))

    def archive(self, before: datetime | None = None) -> ArchiveResult:
        return self.make_archiver().run(before or datetime.now(UTC) + timedelta(hours=1))

    def audit(self, *files: Path) -> AuditReport:
        with self.store.read() as tx:
            return run_audit(
                tx.conn,
                CheckpointFile(self.settings.checkpoint_path).read(signature_check(self.keys.list_keys(tx))),
                self.keys.list_keys(tx),
                files,
            )

    def count_rows(self) -> int:
        with self.store.read() as tx:
            return tx.conn.scalar(select(func.count()).select_from(tables.audit)) or 0

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def tamper(self, sql: str) -> None:
        with self.store.database.engine.connect() as conn:
            assert conn.exec_driver_sql(sql).rowcount, sql


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AuditedInstallation]:
    """Two checkpoints, with changes and reads before the first, between them and after the second."""
    data = tmp_path / "data"
    if request.param == "sqlite":
        settings = Settings(data_dir=create_database_file(data))
    else:
        data.mkdir(mode=0o700)
        url = request.getfixturevalue("migrated_url")
        settings = Settings(data_dir=data, database=url)
        KeyEncryption.create(settings.key_encryption_path)
    installation = AuditedInstallation.open(settings)
    with installation.store.write(OPERATOR) as tx:
        registration.create_user(tx, "ada", password="a password, long and made up")
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", ADA)
        lifecycle.create_project(tx, "p1", owner=ADA)
    installation.record_reads(10)
    installation.write_checkpoint()
    with installation.store.write(OPERATOR) as tx:
        registration.create_user(tx, "ben", password="a password, long and made up")
    with installation.store.write(OPERATOR) as tx:
        assignments.grant_roles(tx, ["PROJECT_READER"], "p1", BEN)
    installation.record_reads(5)
    installation.write_checkpoint()
    with installation.store.write(OPERATOR) as tx:
        locks.lock_target(tx, LockTarget.IDENTITY, "user:ben", reason="away")
    installation.record_reads(4)
    yield installation
    installation.store.close()


@pytest.mark.proves("R95", "R96", "T-38", "T-39")
def test_archived_rows_leave_the_database_and_the_audit_stays_verifiable(installation: AuditedInstallation) -> None:
    before = installation.count_rows()
    done = installation.archive()
    assert done.manifest is not None
    (file,) = installation.files()
    assert done.location == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert done.removed >= done.manifest.rows - 1, "the last row of a chain may stay"
    assert installation.count_rows() == before - done.removed + 1, "archiving is recorded"
    without_files, with_files = installation.audit(), installation.audit(file)
    assert (without_files.findings, with_files.findings) == ((), ())
    assert (without_files.unread_rows, with_files.unread_rows) == (done.manifest.rows, 0)
    assert with_files.rows >= before


def test_the_file_is_plain_json_lines(installation: AuditedInstallation) -> None:
    installation.archive()
    manifest, *rows = [json.loads(line) for line in installation.files()[0].read_text().splitlines()]
    assert set(manifest) == {"content", "kid", "signature"}
    assert {"looked", "project.created"} <= {row["body"]["event"] for row in rows}
    assert set(rows[0]) == {"body", "hash", "number", "writer"}


def test_chains_continue_and_are_archived_again(installation: AuditedInstallation) -> None:
    assert installation.archive().manifest is not None
    assert installation.archive().manifest is None, "there is no newer checkpoint"
    installation.record_reads(5)
    with installation.store.write(OPERATOR) as tx:
        locks.unlock_target(tx, LockTarget.IDENTITY, "user:ben", reason="over")
    installation.write_checkpoint()
    second = installation.archive().manifest
    assert second is not None
    assert second.number == 2
    # A service that starts after archiving continues the same chain.
    restarted = AuditedInstallation.open(installation.settings)
    restarted.record_reads(3)
    restarted.store.close()
    assert installation.audit().findings == ()
    assert installation.audit(*installation.files()).findings == ()
    assert installation.audit(*installation.files()).unread_rows == 0


def test_only_rows_that_are_old_enough_are_archived(installation: AuditedInstallation) -> None:
    with installation.store.read() as tx:
        first = CheckpointFile(installation.settings.checkpoint_path).read(
            signature_check(installation.keys.list_keys(tx))
        )[0][0]
    assert installation.archive(first.at).manifest is None
    done = installation.archive(first.at + timedelta(microseconds=1)).manifest
    assert done is not None
    assert (done.until, done.revision) == (first.at, first.revision)
    assert installation.audit().findings == ()
    installation.record_reads(3)
    assert installation.audit(*installation.files()).findings == ()


def change_a_word(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"looked", b"booked", 1))


def drop_a_row(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))


def swap_rows(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def add_a_row(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[-1]]))


def change_manifest(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":2', 1))


def no_rows_at_all(path: Path) -> None:
    path.write_bytes(b"nonsense\n")


@pytest.mark.proves("R95", "T-39")
@pytest.mark.parametrize(
    "tampering", [change_a_word, drop_a_row, swap_rows, truncate, add_a_row, change_manifest, no_rows_at_all]
)
def test_a_changed_file_is_noticed(installation: AuditedInstallation, tampering: Callable[[Path], None]) -> None:
    installation.archive()
    tampering(installation.files()[0])
    assert installation.audit().findings == (), "the database itself is unchanged"
    assert {finding.kind for finding in installation.audit(installation.files()[0]).findings} == {"archive"}


BOUNDARY = {
    "manifest deleted": ("DELETE FROM archive_manifests", "deleted"),
    "manifest changed": (
        "UPDATE archive_manifests SET signed_json = replace(signed_json, '\"revision\":', '\"revision\":1')",
        "manifest",
    ),
    "manifest replaced": ("UPDATE archive_manifests SET signed_json = 'x'", "manifest"),
    "later row changed": ("UPDATE audit SET identity = 'user:eve' WHERE event = 'lock.set'", "changed"),
    "first row after the boundary deleted": (
        "DELETE FROM audit WHERE number = (SELECT min(number) FROM audit WHERE event = 'lock.set')",
        "deleted",
    ),
    "all later rows deleted": ("DELETE FROM audit", "truncated"),
    "archived change record changed": ("UPDATE changes SET payload = '[]' WHERE revision = 3", "change"),
    "archived change record deleted": ("DELETE FROM changes WHERE revision = 3", "change"),
    "archived assignment changed": (
        "UPDATE assignments SET identity = 'user:eve' WHERE role = 'PROJECT_READER'",
        "assignment",
    ),
    "archived key changed": ("UPDATE keys SET state = 'withdrawn', private = NULL WHERE state = 'published'", "key"),
}


@pytest.mark.proves("R95", "T-38", "T-39")
@pytest.mark.parametrize("name", BOUNDARY)
def test_a_changed_boundary_or_rest_is_noticed(installation: AuditedInstallation, name: str) -> None:
    installation.archive()
    sql, kind = BOUNDARY[name]
    installation.tamper(sql)
    findings = installation.audit().findings
    assert kind in {finding.kind for finding in findings}, findings


@pytest.mark.proves("T-38")
def test_the_files_show_which_archived_change_record_was_changed(installation: AuditedInstallation) -> None:
    installation.archive()
    installation.tamper("UPDATE changes SET payload = '[]' WHERE revision = 3")
    without_files, with_files = installation.audit(), installation.audit(*installation.files())
    assert any("are not those that were archived" in finding.sentence for finding in without_files.findings)
    assert any("record of revision 3 is not" in finding.sentence for finding in with_files.findings)


@pytest.mark.proves("T-38")
def test_a_forged_key_makes_no_valid_manifest(installation: AuditedInstallation) -> None:
    """An attacker who can only write to the database adds a withdrawn key and signs a manifest with it."""
    with installation.store.read() as tx:
        real = next(key for key in installation.keys.list_keys(tx) if key.purpose == "checkpoint")
    forged = type(real).generate(real.purpose, real.created_at, real.state)
    assert forged.private_key is not None
    private = forged.private_key
    values = {"kid": forged.kid, "purpose": "checkpoint", "public": forged.public_bytes, "private": None}
    values |= {"state": "withdrawn", "created": real.created_at, "changed": real.created_at}
    with installation.store.database.engine.connect() as conn:
        conn.execute(tables.keys.insert().values(values))
    archiver = installation.make_archiver()
    archiver._sign = lambda data: (forged.kid, private.sign(data))
    archiver.run(datetime.now(UTC) + timedelta(hours=1))
    findings = installation.audit().findings
    assert any(finding.kind == "key" and forged.kid in finding.sentence for finding in findings), findings


def test_an_audit_that_was_tampered_with_is_not_archived(installation: AuditedInstallation) -> None:
    installation.tamper("UPDATE audit SET body = previous WHERE number = 3")
    rows = installation.count_rows()
    with pytest.raises(Conflict, match=r"does not match|does not hold"):
        installation.archive()
    assert installation.count_rows() == rows
    with installation.store.read() as tx:
        assert ArchiveManifests.read(tx.conn, lambda *_: True).manifests == ()


def test_an_existing_file_is_not_overwritten(installation: AuditedInstallation) -> None:
    assert installation.archive().location is not None
    installation.record_reads(2)
    installation.write_checkpoint()
    installation.archive()
    second = installation.files()[1]
    with installation.store.read() as tx:
        manifests = ArchiveManifests.read(tx.conn, signature_check(installation.keys.list_keys(tx)))
    assert len(manifests.manifests) == 2
    # A database that was rolled back archives the same rows again, but the file exists already.
    installation.tamper("DELETE FROM archive_manifests WHERE number = 2")
    second.write_bytes(b"other content\n")
    with pytest.raises(Conflict):
        installation.archive()
    assert second.read_bytes() == b"other content\n"


SCRIPT = """
import sys
from pathlib import Path
from tests.audit.archive.test_archiver import AuditedInstallation
from aizen_hub.settings import Settings
installation = AuditedInstallation.open(Settings(data_dir=Path(sys.argv[1]), database=sys.argv[2] or None))
installation.archive()
"""


@pytest.mark.proves("T-45")
@pytest.mark.parametrize("point", sorted(failpoints.ARCHIVE_POINTS))
def test_a_crash_loses_nothing_and_can_be_repeated(installation: AuditedInstallation, point: str) -> None:
    rows = installation.count_rows()
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(installation.settings.data_dir), installation.settings.database or ""],
        env=os.environ | {failpoints.VARIABLE: point},
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert installation.audit().findings == ()
    assert installation.audit(*(installation.files() if point != "archive-written" else ())).findings == ()
    repeated = installation.archive()
    assert len(installation.files()) == 1
    assert (repeated.manifest is not None) == (point == "archive-written")
    report = installation.audit(*installation.files())
    assert (report.findings, report.unread_rows) == ((), 0)
    assert report.rows >= rows
    assert installation.count_rows() < rows
    if point == "archived":
        assert repeated.removed > 0


def test_an_interrupted_removal_resumes_only_with_its_file(
    installation: AuditedInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Archiver, "_remove_archived", lambda self: 0)
    installation.archive()
    monkeypatch.undo()
    rows, file = installation.count_rows(), installation.files()[0]
    elsewhere = file.rename(installation.settings.data_dir / "elsewhere")
    with pytest.raises(Conflict, match="interrupted"):
        installation.archive()
    elsewhere.rename(file)
    change_a_word(file)
    with pytest.raises(Conflict, match="does not hold"):
        installation.archive()
    assert installation.count_rows() == rows


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
def test_the_service_role_can_neither_archive_nor_forge_a_manifest(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url")
    settings = Settings(data_dir=tmp_path, database=url)
    KeyEncryption.create(settings.key_encryption_path)
    migrate.upgrade(url)
    owner = AuditedInstallation.open(settings)
    role = "aizen_archive_test"
    with owner.store.database.engine.connect() as conn:
        conn.execute(text(f"DROP ROLE IF EXISTS {role}"))
        conn.execute(text(f"CREATE ROLE {role} LOGIN"))
    try:
        migrate.upgrade(url, role)
        service = AuditedInstallation.open(
            settings.model_copy(update={"database": url.replace("postgres@", f"{role}@")})
        )
        service.record_reads(5)
        service.write_checkpoint()
        with pytest.raises(Denied, match="may not delete"):
            service.archive()
        for sql in (
            "INSERT INTO archive_manifests VALUES (1, 'x')",
            "DELETE FROM archive_manifests",
            "DELETE FROM audit",
        ):
            with service.store.database.engine.connect() as conn, pytest.raises(ProgrammingError):
                conn.execute(text(sql))
        assert owner.archive().manifest is not None
        assert service.audit(*owner.files()).findings == ()
        service.record_reads(2)
        assert service.audit().findings == ()
        service.store.close()
    finally:
        with owner.store.database.engine.connect() as conn:
            conn.execute(text(f"DROP OWNED BY {role}"))
            conn.execute(text(f"DROP ROLE {role}"))
        owner.store.close()
