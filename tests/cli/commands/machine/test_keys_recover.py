"""``aizen-hub keys recover``: only where the key is lost, after confirmation, and without a lost audit."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
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
