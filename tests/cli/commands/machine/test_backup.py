"""``aizen-hub db backup`` and ``db restore``: a backup beside a running service, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url, select

from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signing import checkpoint_signer
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import open_store, open_store_with_keys, operator_actor
from aizen_hub.cli.main import cli
from aizen_hub.problems import Conflict, NotFound
from aizen_hub.settings import Settings
from aizen_hub.store import migrate, tables
from aizen_hub.store.instance_lock import InstanceLock, InstanceRunningError
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.conftest import SEARCH_PATH


def run(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    config = settings.data_dir.parent / "aizen.yaml"
    result = CliRunner().invoke(cli, ["db", *arguments, "-c", str(config)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout, result.stderr


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with keys and a checkpoint."""
    monkeypatch.setenv("PATH", SEARCH_PATH)
    text = "data_dir: data\n"
    (tmp_path / "data").mkdir(mode=0o700)
    if request.param == "postgresql":
        text += f"database: {request.getfixturevalue('migrated_url')}\n"
        KeyEncryption.create(tmp_path / "data" / "key-encryption-key")
    (tmp_path / "aizen.yaml").write_text(text)
    settings = Settings.load(tmp_path / "aizen.yaml", {})
    with open_store(settings, create=True):
        pass
    sign(settings)
    return settings


def sign(settings: Settings) -> None:
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        file = CheckpointFile(settings.checkpoint_path)
        file.append(chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx)))


def change(settings: Settings) -> None:
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        tx.record_change("test", {}, ["user:unknown"])


def events(settings: Settings) -> list[str]:
    with open_store(settings) as store, store.read() as tx:
        return list(tx.conn.scalars(select(tables.audit.c.event)))


def empty(settings: Settings) -> None:
    """Lose the database: an empty one of PostgreSQL takes its place, and nothing that of a file."""
    if settings.uses_sqlite:
        for file in settings.data_dir.glob("aizen.sqlite*"):
            file.unlink()
        return
    import psycopg

    with psycopg.connect(settings.database_url, autocommit=True) as conn:
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")


def test_a_lost_database_comes_back(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    code, stdout, stderr = run(settings, "backup", str(file))
    assert code == ExitCode.DONE
    assert file.stat().st_mode & 0o777 == 0o600
    named = [line.partition("\t")[0] for line in stdout.splitlines()]
    further = (settings.checkpoint_path, settings.key_encryption_path, settings.hub_secret_path)
    assert named == [str(path) for path in further]
    assert f"wrote {file}" in stderr
    assert events(settings)[-1] == "database.backed-up"
    with pytest.raises(Conflict, match="exists already"):
        run(settings, "backup", str(file))
    empty(settings)
    code, _, stderr = run(settings, "restore", str(file))
    assert code == ExitCode.DONE
    assert "lacks nothing that was signed" in stderr
    assert events(settings)[-2:] == ["database.backed-up", "database.restored"]


@pytest.mark.proves("T-40")
def test_what_a_backup_lacks_is_said(settings: Settings, tmp_path: Path) -> None:
    run(settings, "backup", str(tmp_path / "backup"))
    change(settings)
    sign(settings)
    empty(settings)
    code, _, stderr = run(settings, "restore", str(tmp_path / "backup"))
    assert code == ExitCode.DONE
    assert "older than the last checkpoint" in stderr
    assert "accept-restore" in stderr
    assert events(settings)[-1] == "database.backed-up", "nothing is written before it is accepted"
    assert run(settings, "accept-restore", "--yes")[0] == ExitCode.DONE


def test_a_lost_key_is_named_before_the_service_starts(settings: Settings, tmp_path: Path) -> None:
    run(settings, "backup", str(tmp_path / "backup"))
    empty(settings)
    settings.key_encryption_path.unlink()
    _, _, stderr = run(settings, "restore", str(tmp_path / "backup"))
    assert "the key-encryption file does not exist" in stderr
    assert "keys recover" in stderr


class TestSqlite:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        (tmp_path / "aizen.yaml").write_text("data_dir: data\n")
        settings = Settings.load(tmp_path / "aizen.yaml", {})
        settings.data_dir.mkdir(mode=0o700)
        with open_store(settings, create=True):
            pass
        sign(settings)
        return settings

    def test_a_restore_refuses_while_the_service_runs(self, settings: Settings, tmp_path: Path) -> None:
        lock = InstanceLock.for_settings(settings)
        assert lock is not None
        with lock:
            assert run(settings, "backup", str(tmp_path / "backup"))[0] == ExitCode.DONE
            before = (settings.data_dir / "aizen.sqlite").read_bytes()
            with pytest.raises(InstanceRunningError, match="stop it"):
                run(settings, "restore", str(tmp_path / "backup"), "--replace")
        assert (settings.data_dir / "aizen.sqlite").read_bytes() == before

    def test_an_existing_database_is_set_aside_on_request_only(self, settings: Settings, tmp_path: Path) -> None:
        run(settings, "backup", str(tmp_path / "backup"))
        with pytest.raises(Conflict, match="exists"):
            run(settings, "restore", str(tmp_path / "backup"))
        _, _, stderr = run(settings, "restore", str(tmp_path / "backup"), "--replace")
        [kept] = settings.data_dir.glob("aizen.sqlite.replaced-*")
        assert f"kept as {kept}" in stderr

    def test_before_an_upgrade_the_former_schema_can_be_backed_up(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(migrate, "head_revision", lambda: "9999")
        _, _, stderr = run(settings, "backup", str(tmp_path / "backup"))
        assert "not recorded in the audit" in stderr
        assert (tmp_path / "backup").stat().st_size > 0
        _, _, stderr = run(settings, "restore", str(tmp_path / "backup"), "--replace")
        assert "`aizen-hub db upgrade`" in stderr

    def test_without_a_database(self, tmp_path: Path) -> None:
        (tmp_path / "aizen.yaml").write_text("data_dir: data\n")
        with pytest.raises(NotFound, match="no database yet"):
            run(Settings.load(tmp_path / "aizen.yaml", {}), "backup", str(tmp_path / "backup"))
        with pytest.raises(NotFound, match="there is no file"):
            run(Settings.load(tmp_path / "aizen.yaml", {}), "restore", str(tmp_path / "backup"))


@pytest.mark.needs("postgres")
def test_the_password_is_not_on_a_command_line(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/arguments"\nprintf %s "$PGPASSWORD"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    url = make_url(migrated_url).set(password="a-secret").render_as_string(hide_password=False)
    (tmp_path / "aizen.yaml").write_text(f"data_dir: data\ndatabase: {migrated_url}\n")
    settings = Settings.load(tmp_path / "aizen.yaml", {})
    assert run(settings, "backup", str(tmp_path / "backup"), "--url", url)[0] == ExitCode.DONE
    assert "a-secret" not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "backup").read_text() == "a-secret"
