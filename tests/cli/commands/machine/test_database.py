"""``aizen-hub db compact`` and ``db upgrade``: not beside a running service, and nothing else is changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.audit.integrity.audit_run import run_audit
from aizen_hub.cli.commands.machine.database import db
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store_with_keys
from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings
from aizen_hub.store.instance_lock import InstanceLock, InstanceRunningError
from tests.audit.archive.test_archiver import AuditedInstallation


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a database from which most rows were archived."""
    file = tmp_path / "aizen.yaml"
    file.write_text("data_dir: data\n")
    settings = Settings.load(file, {})
    settings.data_dir.mkdir(mode=0o700)
    harness = AuditedInstallation.open(settings)
    harness.record_reads(600)
    harness.write_checkpoint()
    harness.record_reads(3)
    harness.archive()
    harness.store.close()
    return file


def run_compact(config: Path) -> tuple[int, str]:
    result = CliRunner().invoke(db, ["compact", "-c", str(config)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stderr


def database_path(config: Path) -> Path:
    return config.parent / "data" / "aizen.sqlite"


def test_the_file_shrinks_and_its_content_stays(config: Path) -> None:
    before, mode = database_path(config).stat().st_size, database_path(config).stat().st_mode
    code, stderr = run_compact(config)
    after = database_path(config).stat().st_size
    assert (code, stderr) == (ExitCode.DONE, f"the file had {before} bytes and now has {after}\n")
    assert after < before
    assert database_path(config).stat().st_mode == mode
    with closing(sqlite3.connect(database_path(config))) as conn:
        assert conn.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    settings = Settings.load(config, {})
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        files = list((config.parent / "data" / "archive").glob("*.jsonl"))
        report = run_audit(
            tx.conn,
            CheckpointFile(settings.checkpoint_path).read(signature_check(keys.list_keys(tx))),
            keys.list_keys(tx),
            files,
        )
    assert (report.findings, report.unread_rows) == ((), 0)
    assert report.rows > 600


def test_not_while_the_service_runs(config: Path) -> None:
    before = database_path(config).read_bytes()
    lock = InstanceLock.for_settings(Settings.load(config, {}))
    assert lock is not None
    with lock, pytest.raises(InstanceRunningError, match="stop it"):
        run_compact(config)
    assert database_path(config).read_bytes() == before


@pytest.mark.proves("R5")
def test_no_upgrade_while_the_service_runs(config: Path) -> None:
    """The running service would write rows that the newer schema does not expect."""
    before = database_path(config).read_bytes()
    lock = InstanceLock.for_settings(Settings.load(config, {}))
    assert lock is not None
    command = ["upgrade", "-c", str(config)]
    with lock:
        refused = CliRunner().invoke(db, command, standalone_mode=False)
    assert isinstance(refused.exception, InstanceRunningError)
    assert "stop it" in str(refused.exception)
    assert database_path(config).read_bytes() == before
    done = CliRunner().invoke(db, command, standalone_mode=False)
    assert (done.exception, done.return_value) == (None, ExitCode.DONE)


def test_a_locked_database_is_not_changed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **{**more, "timeout": 0.1}))
    with closing(connect(database_path(config), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            run_compact(config)


def test_where_there_is_nothing_to_do(tmp_path: Path) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_text("data_dir: data\n")
    assert run_compact(file)[0] == ExitCode.NOT_FOUND
    assert not (tmp_path / "data").exists()
    file.write_text("database: postgresql+psycopg://aizen@db.example.org/aizen\n")
    code, stderr = run_compact(file)
    assert (code, "autovacuum" in stderr) == (ExitCode.DONE, True)
