"""``aizen-hub db compact``: a SQLite file without the room of what was sealed, and nothing else changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from aizen_hub.audit.integrity.audit_run import examine
from aizen_hub.cli.commands.database import db
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.local_store import opened_with_keys
from aizen_hub.problems import Unavailable
from aizen_hub.settings import Settings
from aizen_hub.store.instance_lock import InstanceLock, InstanceRunning
from tests.audit.archive.test_archiver import Kept


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A database of which a good part was sealed."""
    file = tmp_path / "aizen.yaml"
    file.write_text("data_dir: data\n")
    settings = Settings.load(file, {})
    settings.data_dir.mkdir(mode=0o700)
    kept = Kept.open(settings)
    kept.look(600)
    kept.sign()
    kept.look(3)
    kept.seal()
    kept.store.close()
    return file


def compact(config: Path) -> tuple[int, str]:
    done = CliRunner().invoke(db, ["compact", "-c", str(config)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stderr


def database(config: Path) -> Path:
    return config.parent / "data" / "aizen.sqlite"


def test_the_file_shrinks_and_holds_what_it_held(config: Path) -> None:
    before, mode = database(config).stat().st_size, database(config).stat().st_mode
    code, said = compact(config)
    after = database(config).stat().st_size
    assert (code, said) == (Outcome.DONE, f"the file had {before} bytes and has {after} now\n")
    assert after < before
    assert database(config).stat().st_mode == mode
    with closing(sqlite3.connect(database(config))) as conn:
        assert conn.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    settings = Settings.load(config, {})
    with opened_with_keys(settings) as (store, keys), store.read() as tx:
        files = list((config.parent / "data" / "sealed").glob("*.jsonl"))
        seen = examine(tx.conn, settings.checkpoint_path, keys.list(tx), files)
    assert (seen.findings, seen.unread) == ((), 0)
    assert seen.rows > 600


def test_not_while_the_service_runs(config: Path) -> None:
    before = database(config).read_bytes()
    lock = InstanceLock.beside(Settings.load(config, {}))
    assert lock is not None
    with lock, pytest.raises(InstanceRunning, match="stop it"):
        compact(config)
    assert database(config).read_bytes() == before


def test_what_somebody_else_reads_is_left_alone(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **{**more, "timeout": 0.1}))
    with closing(connect(database(config), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            compact(config)


def test_where_there_is_nothing_to_do(tmp_path: Path) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_text("data_dir: data\n")
    assert compact(file)[0] == Outcome.NOT_FOUND
    assert not (tmp_path / "data").exists()
    file.write_text("database: postgresql+psycopg://aizen@db.example.org/aizen\n")
    code, said = compact(file)
    assert (code, "autovacuum" in said) == (Outcome.DONE, True)
