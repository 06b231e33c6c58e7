"""``aizen-hub keys recover``: only where the key is lost, after confirmation, and without a lost audit."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import insert

from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signing import checkpoint_signer, signature_check
from aizen_hub.audit.integrity.audit_run import run_audit
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.local_store import find_rollback, open_store, open_store_with_keys, operator_actor
from aizen_hub.cli.main import cli
from aizen_hub.problems import Conflict
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.fixtures.hub import BIN

RUNBOOK = Path(__file__).parents[4] / "docs" / "operations.md"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A database with keys and a checkpoint, and a backup of the key file."""
    (tmp_path / "aizen.yaml").write_text("data_dir: data\n")
    settings = Settings.load(tmp_path / "aizen.yaml", {})
    settings.data_dir.mkdir(mode=0o700)
    with open_store(settings, create=True):
        pass
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        file = CheckpointFile(settings.checkpoint_path)
        file.append(chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx)))
    return settings


def run_recover(settings: Settings, *options: str, stdin: str | None = None) -> tuple[int, str]:
    arguments = ["keys", "recover", "-c", str(settings.data_dir.parent / "aizen.yaml"), *options]
    result = CliRunner().invoke(cli, arguments, input=stdin, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stderr


def findings(settings: Settings) -> tuple[object, ...]:
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        assert not keys.ring(tx).is_sealed
        return run_audit(
            tx.conn,
            CheckpointFile(settings.checkpoint_path).read(signature_check(keys.list_keys(tx))),
            keys.list_keys(tx),
        ).findings


def lose(settings: Settings) -> None:
    settings.key_encryption_path.unlink()


def replace_by_another(settings: Settings) -> None:
    lose(settings)
    KeyEncryption.create(settings.key_encryption_path)


def damage(settings: Settings) -> None:
    settings.key_encryption_path.write_text("nonsense")


def test_a_replica_that_has_the_key_is_named_before_anything_ends(settings: Settings) -> None:
    lose(settings)
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        for host, configuration in (("one.example.org", {"hub secret": "0"}), ("two.example.org", {})):
            values = {"started": tx.now, "seen": tx.now, "revision": 1, "clock_offset": 0.0, "host": host}
            tx.conn.execute(insert(tables.replicas).values(instance=host, configuration=configuration, **values))
    result = CliRunner().invoke(
        cli, ["keys", "recover", "-c", str(settings.data_dir.parent / "aizen.yaml")], input="n\n", standalone_mode=False
    )
    assert isinstance(result.exception, click.Abort)
    assert "a replica on `one.example.org` runs with the right key" in result.stderr
    assert "two.example.org" not in result.stderr
    with open_store_with_keys(settings) as (_, keys):
        assert keys.file_fault is not None


@pytest.mark.proves("R7", "R136")
@pytest.mark.parametrize("cause", [lose, replace_by_another, damage])
def test_a_lost_key_is_replaced_and_the_audit_verifies(settings: Settings, cause: object) -> None:
    assert callable(cause)
    cause(settings)
    wrong = settings.key_encryption_path.read_bytes() if settings.key_encryption_path.exists() else None
    code, stderr = run_recover(settings, "--yes", "--reason", "the disk broke")
    assert code == ExitCode.DONE
    for part in ("every role token", "every sign-in to the panel", "no user", "back it up"):
        assert part in stderr
    assert findings(settings) == ()
    kept = [path.read_bytes() for path in settings.data_dir.glob("key-encryption-key.replaced-*")]
    assert kept == ([] if wrong is None else [wrong])
    with pytest.raises(Conflict, match="nothing to recover"):
        run_recover(settings, "--yes")


def test_it_asks_first(settings: Settings) -> None:
    lose(settings)
    with pytest.raises(click.Abort):
        run_recover(settings, stdin="n\n")
    assert not settings.key_encryption_path.exists()
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        assert all(key.state != "withdrawn" for key in keys.list_keys(tx))
    assert run_recover(settings, stdin="y\n")[0] == ExitCode.DONE


@pytest.mark.proves("R3")
def test_a_file_with_wrong_permissions_is_not_lost(settings: Settings) -> None:
    settings.key_encryption_path.chmod(0o644)
    with pytest.raises(Conflict, match="can be read by others") as raised:
        run_recover(settings, "--yes")
    assert "chmod 600" in str(raised.value.remedy)
    settings.key_encryption_path.chmod(0o600)
    assert findings(settings) == ()


@pytest.mark.proves("T-40")
def test_a_recovery_does_not_hide_that_the_database_is_older(settings: Settings, tmp_path: Path) -> None:
    former = (settings.data_dir / "aizen.sqlite").read_bytes()
    with open_store_with_keys(settings) as (store, keys):
        with store.write(operator_actor()) as write:
            write.record_change("test", {}, ["user:unknown"])
        with store.read() as tx:
            file = CheckpointFile(settings.checkpoint_path)
            file.append(chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx)))
    (settings.data_dir / "aizen.sqlite").write_bytes(former)
    lose(settings)
    code, stderr = run_recover(settings, "--yes")
    assert code == ExitCode.DONE
    assert "accept-restore" in stderr
    with open_store_with_keys(settings) as (store, keys):
        assert find_rollback(settings, store, keys) is not None


def key_states(settings: Settings) -> dict[str, str]:
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        return {key.kid: key.state.value for key in keys.list_keys(tx)}


def files_of(settings: Settings) -> dict[str, bytes]:
    """Return the files of the data folder, without those that SQLite renews."""
    paths = (path for path in settings.data_dir.rglob("*") if path.is_file() and "sqlite" not in path.name)
    return {str(path.relative_to(settings.data_dir)): path.read_bytes() for path in paths}


@pytest.mark.proves("R3", "R136")
@pytest.mark.parametrize("cause", [lose, replace_by_another])
def test_the_new_key_can_be_written_elsewhere(settings: Settings, tmp_path: Path, cause: Callable[..., None]) -> None:
    cause(settings)
    before = files_of(settings)
    new_file = tmp_path / "new-key"
    code, stderr = run_recover(settings, "--yes", "--new-file", str(new_file))
    assert code == ExitCode.DONE
    assert f"put it in place of {settings.key_encryption_path} for every replica" in stderr
    assert new_file.stat().st_mode & 0o777 == 0o600
    after = files_of(settings)
    checkpoints = settings.checkpoint_path.name
    assert after.pop(checkpoints) != before.pop(checkpoints), "the recovery is signed with the new key"
    assert after == before, "the configured file stays as it was"
    with open_store_with_keys(settings) as (_, keys):
        assert keys.file_fault is not None, "sealed until the new file is in place"
    new_file.replace(settings.key_encryption_path)
    assert findings(settings) == ()


@pytest.mark.proves("R136")
@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param(lambda path: path.write_text("x"), "exists already, and is not overwritten", id="a file"),
        pytest.param(lambda path: path.symlink_to("nowhere"), "exists already, and is not overwritten", id="a link"),
        pytest.param(lambda path: path.parent.rmdir(), "there is no folder", id="no folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_ends(
    settings: Settings, tmp_path: Path, prepare: Callable[[Path], object], says: str
) -> None:
    lose(settings)
    new_file = tmp_path / "elsewhere" / "new-key"
    new_file.parent.mkdir()
    prepare(new_file)
    before = (key_states(settings), files_of(settings), sorted(tmp_path.rglob("*")))
    with pytest.raises(Conflict, match=says):
        run_recover(settings, "--yes", "--new-file", str(new_file))
    assert (key_states(settings), files_of(settings), sorted(tmp_path.rglob("*"))) == before


@pytest.mark.proves("R7", "R136")
@pytest.mark.parametrize("options", [(), ("--new-file", "new-key")], ids=["in place", "elsewhere"])
def test_a_recovery_that_fails_leaves_everything_as_it_was(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """The database refuses the last row of the transaction."""
    monkeypatch.chdir(tmp_path)
    replace_by_another(settings)
    refuse = "BEFORE INSERT ON audit WHEN NEW.event = 'keys.recovered' BEGIN SELECT RAISE(ABORT, 'full'); END"
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        tx.conn.exec_driver_sql(f"CREATE TRIGGER full {refuse}")
    before = (key_states(settings), files_of(settings))
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        run_recover(settings, "--yes", *options)
    assert (key_states(settings), files_of(settings)) == before
    assert not (tmp_path / "new-key").exists()


@pytest.mark.needs("accounts")
@pytest.mark.proves("R136")
def test_a_key_on_a_read_only_file_system_is_recovered_elsewhere(settings: Settings, tmp_path: Path) -> None:
    """As a Secret of Kubernetes is mounted: read-only, and by a link."""
    lose(settings)
    mounted = tmp_path / "secrets"
    mounted.mkdir()
    configuration = tmp_path / "aizen.yaml"
    configuration.write_text(f"data_dir: data\nkey_encryption_file: {mounted}/key-encryption-key\n")
    key = mounted / "key-encryption-key"
    mount = f"""
        mount -t tmpfs tmpfs {mounted} && mkdir {mounted}/..1 && echo lost > {mounted}/..1/{key.name}
        chmod 400 {mounted}/..1/{key.name} && ln -s ..1 {mounted}/..data && ln -s ..data/{key.name} {key}
        mount -o remount,ro {mounted} && exec "$@"
    """

    def recover(*options: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "aizen-hub"), "keys", "recover", "-c", str(configuration), "--yes", *options]
        return subprocess.run(
            ["unshare", "--mount", "--propagation=private", "sh", "-euc", mount, "sh", *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    before = key_states(settings)
    refused = recover()
    assert refused.returncode == ExitCode.CONFLICT
    assert f"no file can be written in {mounted}" in refused.stderr
    assert "--new-file FILE" in refused.stderr
    assert key_states(settings) == before
    new_file = tmp_path / "new-key"
    done = recover("--new-file", str(new_file))
    assert done.returncode == ExitCode.DONE, done.stderr
    assert os.stat(new_file).st_mode & 0o777 == 0o600
    new_file.replace(settings.key_encryption_path)
    assert findings(settings) == ()


def test_the_runbook_puts_the_key_into_the_secret(tmp_path: Path) -> None:
    """What its line gives to ``kubectl patch``, with the file that the recovery writes."""
    key_file = tmp_path / "key-encryption-key"
    KeyEncryption.create(key_file)
    (line,) = (line for line in RUNBOOK.read_text(encoding="utf-8").splitlines() if line.startswith("printf"))
    patch, _, kubectl = line.partition(" | ")
    assert kubectl == "kubectl --namespace jupyter patch secret aizen-hub --patch-file /dev/stdin"
    shown = subprocess.run(["sh", "-c", patch], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (value,) = yaml.safe_load(shown)["stringData"].items()
    assert value == (key_file.name, key_file.read_text().strip())
